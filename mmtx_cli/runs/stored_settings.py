"""Effective settings of a finished run: its config.yaml completed with the defaults."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mmtx_cli.config.help.components import read_component
from mmtx_cli.config.introspect import TargetError
from mmtx_cli.config.schema import SECTIONS
from mmtx_cli.config.validate import list_fields, subsections
from mmtx_cli.errors import DataError
from mmtx_cli.io.former_names import renamed
from mmtx_cli.io.untrusted.yaml_reader import YamlTextError, read_yaml


def settings_of(folder: Path) -> dict[str, Any]:
    """Return the effective settings of a run, by dotted keys.

    Runs that compute the same have equal settings, whichever defaults they state explicitly.

    Raises:
        DataError: if the run is not finished, or its configuration cannot be read.
    """
    if not (folder / "result.json").is_file():
        raise DataError(f"{folder}: run not finished; wait for it, or resume it with resume=true")
    try:
        config = renamed(read_yaml(folder / "config.yaml"))
    except (YamlTextError, OSError) as error:
        raise DataError(f"{folder / 'config.yaml'}: cannot be read: {error}") from error
    return dict(flat(resolved(config)))


def resolved(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's configuration with all defaults filled in.

    Settings that follow from another one are None, whether they were given or not.
    """
    whole = dict(components_resolved(config))
    for name, schema in SECTIONS.items():
        whole[name] = section_resolved(config.get(name) or {}, schema)
    data, trainer = whole["data"], whole["trainer"]
    if trainer["max_steps"] is not None:
        trainer["max_epochs"] = None
    if data["eval_batch_size"] == data["batch_size"]:
        data["eval_batch_size"] = None
    if data["path"] and data["root"] == os.path.dirname(data["path"]):
        data["root"] = None
    return whole


def section_resolved(node: Mapping[str, Any], schema: type) -> dict[str, Any]:
    """Return a plain section and its nested sections with their defaults filled in."""
    inner, lists = subsections(schema), list_fields(schema)
    whole = asdict(schema())
    for key, value in node.items():
        if key in lists and isinstance(value, list):
            value = [section_resolved(item, inner[key]) for item in value]
        elif key in inner and isinstance(value, Mapping):
            value = section_resolved(value, inner[key])
        whole[key] = value
    return whole


def components_resolved(node: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield keys and values of a node, with the default arguments of components at any depth."""
    yield from defaults_of(node.get("_target_"))
    for key, value in node.items():
        yield key, dict(components_resolved(value)) if isinstance(value, Mapping) else value


def defaults_of(target: Any) -> Iterator[tuple[str, Any]]:
    """Yield the arguments of a class that have defaults; none if its source is not found."""
    if not isinstance(target, str):
        return
    try:
        component = read_component(target)
    except (TargetError, OSError, SyntaxError):  # a user package that is no longer installed
        return
    for argument in component.arguments:
        if argument.default is not None:
            yield argument.name, argument.value


def flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield dotted keys and plain values of a configuration."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node
