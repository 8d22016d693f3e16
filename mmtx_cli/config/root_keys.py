"""Keys at the root of a configuration that no command reads: misspelt in a file of the user's."""

import re
from collections.abc import Iterator, Mapping, Set
from typing import Any

from mmtx_cli.config.conf_tree import root_keys
from mmtx_cli.config.key_hints import key_hint
from mmtx_cli.config.overrides import SECTIONS

_NAME = re.compile(r"\$\{\s*(\w+)")


def root_key_faults(
    cfg: Mapping[str, Any], command: str, groups: Set[str]
) -> Iterator[tuple[str, str]]:
    """(key, what to do) of unknown keys; one that an interpolation refers to is of use.

    ``groups`` are the user's own, which have places of their own.
    """
    known, used = root_keys(command), set(_names(cfg))
    places = {*known, *SECTIONS, "hydra", *(groups - {"experiment"}), *used}
    nodes = [(name, cfg.get(name)) for name in SECTIONS]
    for key in map(str, cfg):
        if key not in places:
            yield key, f"unknown key; {key_hint(key, known, nodes, known)}"


def _names(node: Any) -> Iterator[str]:
    """Root keys that interpolations name."""
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _names(value)
    elif isinstance(node, list):
        for value in node:
            yield from _names(value)
    elif isinstance(node, str) and "${" in node:
        yield from _NAME.findall(node)
