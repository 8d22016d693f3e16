"""Keys that a command does not have: of another command, or misspelt."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmtx_cli.config.conf_tree import root_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.suggest import nearest


def refuse_foreign_keys(
    cfg: Mapping[str, Any], command: str, known_as: Mapping[str, str] | None = None
) -> None:
    """Refuse keys that the configuration of a command does not hold.

    The command line opens the sections of a run (``data.split=…``) for every command, also for
    one that has no such section and would pass over it. ``known_as`` is what keys of theirs are
    called here.

    Raises:
        ConfigError: with each such key, and the right one if there is a similar one.
    """
    known, other = root_keys(command), known_as or {}
    foreign = [key for key in cfg if key not in (*known, "hydra")]
    faults = []
    for path in (path for key in foreign for path in _paths(key, cfg[key])):
        name = path.rpartition(".")[2]
        meant = nearest(other.get(name, name), known)
        faults.append(f"{path}: mmtx {command} has no such key; {meant}")
    if faults:
        raise ConfigError(*faults)


def _paths(key: str, node: Any) -> Iterator[str]:
    """Yield the keys of a section, or the key of anything else."""
    if isinstance(node, Mapping) and node:
        yield from (f"{key}.{name}" for name in node)
    else:
        yield key
