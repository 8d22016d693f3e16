"""Find unknown root keys, for example misspelled ones in a user's config file."""

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.groups import known_keys, selected
from mmtx_cli.config.key_hints import key_hint
from mmtx_cli.config.overrides import SECTIONS

_NAME = re.compile(r"\$\{\s*(\w+)")


def root_key_faults(
    cfg: Mapping[str, Any], command: str, groups: Set[str]
) -> Iterator[tuple[str, str]]:
    """Yield (key, remedy) for unknown root keys, unless an interpolation refers to them.

    ``groups`` are the user's own groups, whose names are valid root keys.
    """
    known = known_keys(command, selected(command, cfg), [conf_dir()])
    used = set(_names(cfg))
    valid = {*known, *SECTIONS, "hydra", *(groups - {"experiment"}), *used}
    nodes = [(name, cfg.get(name)) for name in SECTIONS]
    for key in map(str, cfg):
        if key not in valid:
            yield key, f"unknown key; {key_hint(key, known, nodes, known)}"


def _names(node: Any) -> Iterator[str]:
    """Yield the root keys that interpolations refer to."""
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _names(value)
    elif isinstance(node, list):
        for value in node:
            yield from _names(value)
    elif isinstance(node, str) and "${" in node:
        yield from _NAME.findall(node)
