"""Reject keys that a command does not have."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mmtx_cli.config.conf_tree import cli_name, conf_dir
from mmtx_cli.config.groups import known_keys, other_takers, selected
from mmtx_cli.config.help.components import format_value
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.former_names import rename_hint
from mmtx_cli.suggest import suggest


def check_known_keys(
    cfg: Mapping[str, Any], command: str, known_as: Mapping[str, str] | None = None
) -> None:
    """Raise ConfigError for keys that the command's configuration does not have.

    Section keys (``data.split=…``) can be set for every command, even for one that has no such
    section and would ignore them.

    Args:
        cfg: The composed configuration.
        command: The command.
        known_as: Names of section keys, and the command's names for them.

    Raises:
        ConfigError: with each such key and the closest valid one.
    """
    known, aliases = known_keys(command, selected(command, cfg), [conf_dir()]), known_as or {}
    unknown = [key for key in cfg if key not in (*known, "hydra")]
    faults = []
    for key in unknown.copy():
        if takers := other_takers(key, command):
            faults.append(only_for(f"{key}={format_value(cfg[key])}", takers))
            unknown.remove(key)
    for path in (path for key in unknown for path in _paths(key, cfg[key])):
        name = path.rpartition(".")[2]
        hint = rename_hint(path, command) or suggest(aliases.get(name, name), known)
        faults.append(f"{path}: unknown key for mmtx {cli_name(command)}; {hint}")
    if faults:
        raise ConfigError(*faults)


def only_for(given: str, takers: Sequence[str]) -> str:
    """Return the error for a key that the selected options do not have, but others."""
    return f"{given}: only valid for {' or '.join(takers)}; remove it"


def _paths(key: str, node: Any) -> Iterator[str]:
    """Yield the paths of a section's keys, or the key itself if it is not a section."""
    if isinstance(node, Mapping) and node:
        yield from (f"{key}.{name}" for name in node)
    else:
        yield key
