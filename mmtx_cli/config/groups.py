"""Config groups: the available options and those a command line selects, without Hydra."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmtx_cli.config.conf_tree import (
    MISSING,
    ROOT_GROUPS,
    choices,
    conf_dir,
    default_groups,
    files,
    group_names,
    root_keys,
    shipped,
    split_args,
)
from mmtx_cli.config.cross_checks import is_trained, takes_decoder
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.untrusted.yaml_reader import YamlTextError, read_yaml

Chosen = dict[str, list[str]]
"""Option names by group, or by ``group@package`` for options placed at another config path."""


DEFAULT_DECODER = "transformer"
"""Decoder of a head that generates text, unless another one is selected."""


@dataclass(frozen=True)
class Choice:
    """An option of a group: the config path where its file is placed, and the file's content."""

    place: str
    group: str
    name: str
    content: dict[str, Any]
    missing: bool = False
    parts: Chosen = field(default_factory=dict)
    """Options that the file itself selects, by ``group@place``."""


def selected_options(command: str, args: Sequence[str], dirs: Sequence[Path]) -> Chosen:
    """Return the options selected by the command's defaults, an experiment and the command line."""
    groups = group_names(dirs)
    typed: Chosen = {}
    for arg in split_args(args)[1]:
        key, equals, value = arg.lstrip("+~").partition("=")
        if equals and key.partition("@")[0] in groups:
            typed[key] = names_in(value)
    chosen: Chosen = {}
    for file in reversed(files(command)):
        chosen |= default_choices(shipped(file))
    for name in typed.get("experiment", chosen.get("experiment", [])):
        for choice in load_choices(["experiment"], [name], dirs):
            chosen |= default_choices(choice.content)
    return with_default_decoder(chosen | typed, dirs)


def with_default_decoder(chosen: Chosen, dirs: Sequence[Path]) -> Chosen:
    """Return the selected options with the decoder that a head has unless another is selected."""
    heads = load_choices(["head"], chosen.get("head", []), dirs or [conf_dir()])
    if chosen.get("decoder") or not any(takes_decoder(head.content) for head in heads):
        return chosen
    return {**chosen, "decoder": [DEFAULT_DECODER]}


def names_in(value: str) -> list[str]:
    """Return the option names in a value: one, a list, or several to sweep over; none for null."""
    names = [name.strip(" '\"") for name in value.strip("[]'\" ").split(",")]
    return [name for name in names if name not in ("", "null", MISSING)]


def default_choices(content: Mapping[str, Any]) -> Chosen:
    """Return the options in a file's defaults list, without ``override`` and leading slashes."""
    found: Chosen = {}
    for item in content.get("defaults", ()):
        for key, value in item.items() if isinstance(item, Mapping) else ():
            group = str(key).removeprefix("override ").strip().lstrip("/")
            if not group.startswith("hydra/"):
                found[group] = names_in("null" if value is None else str(value))
    return found


def load_choices(
    groups: Sequence[str], names: Sequence[str], dirs: Sequence[Path]
) -> Iterator[Choice]:
    """Yield the named options of each of the groups (``group`` or ``group@package``)."""
    for key in groups:
        group, _, package = key.partition("@")
        for name in names:
            path = file_of(group, name, dirs)
            if path is None:
                yield Choice(package, group, name, {}, missing=True)
                continue
            own = extended(path, dirs)
            package_comment = re.search(
                r"^#\s*@package\s+(\S+)", path.read_text(encoding="utf-8"), re.M
            )
            place = package or (
                package_comment.group(1) if package_comment else group.replace("/", ".")
            )
            parts = {
                f"{inner.partition('@')[0]}@{place}.{inner.partition('@')[2]}": options
                for inner, options in default_choices(own).items()
                if "@" in inner
            }
            yield Choice(place, group, name, own, parts=parts)


def file_of(group: str, name: str, dirs: Sequence[Path]) -> Path | None:
    """Return the file of an option, or None."""
    paths = (folder / group / f"{name}.yaml" for folder in dirs)
    return next((path for path in paths if path.is_file()), None)


def extended(
    path: Path, dirs: Sequence[Path], seen: frozenset[Path] = frozenset()
) -> dict[str, Any]:
    """Return the content of a file, on top of that of the files of its group that it extends.

    Those are the plain names in its defaults list.
    """
    own = read_mapping(path)
    group = next((path.parent.relative_to(d) for d in dirs if path.is_relative_to(d)), None)
    for item in own.get("defaults", ()):
        is_name = isinstance(item, str) and re.fullmatch(r"\w[\w.-]*", item)
        base = file_of(str(group), item, dirs) if is_name else None
        if base is not None and base not in {path, *seen}:
            below = extended(base, dirs, seen | {path})
            defaults = [*below.get("defaults", ()), *own["defaults"]]
            own = {**below, **own, "defaults": defaults}
    return own


def selected_choices(chosen: Chosen, dirs: Sequence[Path]) -> Iterator[Choice]:
    """Yield every selected option, each followed by the options that it selects itself."""
    outer = {key: names for key, names in chosen.items() if "@" not in key}
    for key, names in outer.items():
        for choice in load_choices([key], names, dirs):
            yield choice
            for inner, default in choice.parts.items():
                overridden = choice.content.get(inner.rpartition(".")[2]) or {}
                for nested in load_choices([inner], chosen.get(inner, default), dirs):
                    yield replace(nested, content={**nested.content, **overridden})


def read_mapping(path: Path) -> dict[Any, Any]:
    """Return the mapping in a YAML file; empty if the file holds anything else.

    Raises:
        ConfigError: if it is not valid YAML or exceeds the size limits.
    """
    try:
        content = read_yaml(path)
    except YamlTextError as error:
        raise ConfigError(f"{path}{f':{error.line}' if error.line else ''}: {error}") from error
    return content if isinstance(content, dict) else {}


def flatten(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted path, value) for every value in nested mappings."""
    for key, value in node.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def unknown_choice_fault(choice: Choice, dirs: Sequence[Path]) -> str:
    """Return the error for an unknown option."""
    available = choices(choice.group, dirs)
    return f"{choice.group}={choice.name}: unknown option; choose from: {', '.join(available)}"


def accepted_options(group: str, command: str, dirs: Sequence[Path] = ()) -> list[str]:
    """Return the options of a group that a command accepts.

    ``eval`` accepts evaluation-only heads, every other command only heads that are trained.
    """
    names = choices(group, dirs)
    if group != "head":
        return names
    heads = load_choices([group], names, dirs or [conf_dir()])
    trained = {choice.name: is_trained(choice.content) for choice in heads}
    return [name for name in names if trained[name] == (command != "eval")]


def known_keys(command: str, chosen: Chosen, dirs: Sequence[Path]) -> list[str]:
    """Return the root keys of a command, with those of the options of its root groups."""
    options = root_options(command, chosen, dirs)
    keys = {str(key) for choice in options for key in choice.content if key != "defaults"}
    return sorted({*root_keys(command), *keys})


def known_paths(command: str, chosen: Chosen, dirs: Sequence[Path]) -> list[str]:
    """Return the paths of the keys of a command and of the options of its root groups."""
    contents = [shipped(file) for file in files(command)]
    contents += [choice.content for choice in root_options(command, chosen, dirs)]
    return sorted({path for content in contents for path, _ in flatten(content)})


def root_options(command: str, chosen: Chosen, dirs: Sequence[Path]) -> list[Choice]:
    """Return the selected options of the root groups of a command."""
    mine = [group for group in default_groups(command) if group in ROOT_GROUPS]
    return [c for group in mine for c in load_choices([group], chosen.get(group, []), dirs)]


def selected(command: str, cfg: Mapping[str, Any]) -> Chosen:
    """Return the options of the root groups that are part of a composed configuration."""
    mine = [group for group in default_groups(command) if group in ROOT_GROUPS]
    return {group: [str(cfg[group])] for group in mine if cfg.get(group) is not None}


def other_takers(key: str, command: str) -> list[str]:
    """Return the options of a command's root groups that have a root key, as ``group=option``."""
    return [
        f"{choice.group}={choice.name}"
        for group in default_groups(command)
        if group in ROOT_GROUPS
        for choice in load_choices([group], choices(group), [conf_dir()])
        if key in choice.content
    ]
