"""Reject keys that a command does not have."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmtx_cli.config.conf_tree import root_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.former_names import now_called
from mmtx_cli.suggest import nearest


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
    known, other = root_keys(command), known_as or {}
    foreign = [key for key in cfg if key not in (*known, "hydra")]
    faults = []
    for path in (path for key in foreign for path in _paths(key, cfg[key])):
        name = path.rpartition(".")[2]
        now = now_called(path, command)
        hint = f"now called {now}" if now else nearest(other.get(name, name), known)
        faults.append(f"{path}: unknown key for mmtx {command}; {hint}")
    if faults:
        raise ConfigError(*faults)


def _paths(key: str, node: Any) -> Iterator[str]:
    """Yield the paths of a section's keys, or the key itself if it is not a section."""
    if isinstance(node, Mapping) and node:
        yield from (f"{key}.{name}" for name in node)
    else:
        yield key
