"""Suggest section and component keys for an unknown root key such as ``width=128``."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from mmtx_cli.config.groups import selected_choices, selected_options
from mmtx_cli.config.help.components import read_component
from mmtx_cli.config.introspect import TargetError
from mmtx_cli.config.schema import SECTIONS
from mmtx_cli.config.synonyms import equivalent_key
from mmtx_cli.config.validate import PROVIDED, list_fields, subsections
from mmtx_cli.suggest import suggest

Nodes = Iterable[tuple[str, Any]]
"""Nodes of a configuration with their config paths."""
MAX_HINTS = 4
"""Maximum number of keys in a hint."""


def key_hint(key: str, known: Sequence[str], nodes: Nodes, names: Iterable[str]) -> str:
    """Return a hint at what an unknown root key may mean.

    Args:
        key: The key; ``image.width`` matches ``encoder.image.width``.
        known: The root keys of the command.
        nodes: The selected components and logger.
        names: The candidates for a misspelled key.
    """
    found = [path for path in all_keys(known, nodes) if path.endswith(f".{key}")]
    if not found and (equivalent := equivalent_key(key, [*known])):
        found = [equivalent]
    return (
        f"did you mean {' or '.join(map(repr, found[:MAX_HINTS]))}?"
        if found
        else suggest(key, names)
    )


def all_keys(known: Sequence[str], nodes: Nodes) -> list[str]:
    """Return the keys of the command's sections, then those of its nodes, without duplicates."""
    sections = [name for name in SECTIONS if name in known]
    keys = [key for name in sections for key in setting_keys(name, SECTIONS[name])]
    keys += [key for path, node in nodes for key in node_keys(path, node)]
    return list(dict.fromkeys(keys))


def setting_keys(path: str, schema: type) -> Iterator[str]:
    """Yield the keys of a section, then those of its subsections."""
    for field in fields(schema):
        yield f"{path}.{field.name}"
    for name, inner in subsections(schema).items():
        if name not in list_fields(schema):
            yield from setting_keys(f"{path}.{name}", inner)


def node_keys(path: str, node: Any) -> Iterator[str]:
    """Yield the keys of a node; for a component, also all arguments of its class."""
    if not isinstance(node, Mapping):
        return
    if "_target_" in node:
        yield from component_keys(path, str(node["_target_"]))
    for key, value in node.items():
        child_path = f"{path}.{key}" if path else str(key)
        if key not in ("_target_", "defaults"):
            yield child_path
        yield from node_keys(child_path, value)


def component_keys(path: str, target: str) -> Iterator[str]:
    """Yield all arguments of a component; none if its source is not found."""
    provided = PROVIDED.get(path.partition(".")[0], set())
    try:
        arguments = read_component(target).arguments
    except (TargetError, OSError, SyntaxError):
        return
    yield from (f"{path}.{arg.name}" for arg in arguments if arg.name not in provided)


def chosen_nodes(
    command: str, args: Sequence[str], dirs: Sequence[Path]
) -> Iterator[tuple[str, Any]]:
    """Yield the nodes that a command line selects.

    Hydra is not used, since it cannot compose a command line with errors.
    """
    for choice in selected_choices(selected_options(command, args, dirs), dirs):
        yield "" if choice.place == "_global_" else choice.place, choice.content
