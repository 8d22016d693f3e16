"""Validate a configuration before any data or device is used, and report all errors at once."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_origin, get_type_hints

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmtx_cli.config.constraints import bounds_fault, entries, limit_faults
from mmtx_cli.config.cross_checks import cross_field_faults, decoder_section
from mmtx_cli.config.experiment_keys import experiment_hint
from mmtx_cli.config.groups import accepted_options
from mmtx_cli.config.introspect import TargetError, signature_of
from mmtx_cli.config.predict_checks import prediction_faults
from mmtx_cli.config.root_types import TYPES
from mmtx_cli.config.schema import SECTIONS
from mmtx_cli.config.speed_checks import speed_faults
from mmtx_cli.config.text_checks.explanation import explanation_faults
from mmtx_cli.config.text_checks.generation import generation_faults
from mmtx_cli.config.text_checks.self_critical import self_critical_faults
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.former_names import rename_hint
from mmtx_cli.suggest import suggest

PROVIDED = {
    "fusion": {"modalities"},
    "connector": {"width", "layers", "scale", "streams"},
    "head": {"available", "vote", "patching", "encoders", "trained_heads", "decoder"},
}
"""Arguments that are not configurable: the model builder provides them."""


def check(cfg: Mapping[str, Any]) -> None:
    """Validate the plain configuration of a run.

    Raises:
        ConfigError: with all errors.
    """
    faults = [
        *root_faults(cfg),
        *component_faults(cfg),
        *section_faults(cfg),
        *limit_faults(cfg),
        *cross_field_faults(cfg),
        *prediction_faults(cfg),
        *generation_faults(cfg),
        *explanation_faults(cfg),
        *self_critical_faults(cfg),
        *speed_faults(cfg),
    ]
    if faults:
        raise ConfigError(*faults)


def root_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield an error for each root key of the wrong type."""
    for key, kind in TYPES.items():
        if key in cfg and (fault := type_fault(cfg[key], kind)):
            yield f"{key}: {fault}"
    if isinstance(resume := cfg.get("resume"), str) and resume != "auto":
        yield f"resume: {resume!r} is neither a bool nor auto"
    for key in ("freeze", "trusted_packages", "drop_modalities", "modules", "allowed_hosts"):
        if not isinstance(cfg.get(key, []), list):
            yield f"{key}: {cfg[key]!r} is not a list; write {key}=[{cfg[key]}]"


def components(cfg: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Yield (group, config path, node) for each component of the model."""
    for name, node in entries(cfg, "encoder"):
        yield "encoder", f"encoder.{name}", node
    for group in ("fusion", "connector", "decoder"):
        if cfg.get(group) is not None:
            path = decoder_section(cfg[group]) if group == "decoder" else group
            yield path, path, cfg[group]
    for name, node in entries(cfg, "head"):
        yield "head", f"head.{name}", node


def component_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Resolve every ``_target_`` and check the configured arguments against its signature."""
    trusted = tuple(cfg.get("trusted_packages") or ())
    wrong_roots = {key for key in TYPES if key in cfg and type_fault(cfg[key], TYPES[key])}
    for group, path, node in components(cfg):
        if node is None:
            continue
        if not isinstance(node, Mapping) or "_target_" not in node:
            yield f"{path}: no component selected; {choice_hint(group, path, node, cfg)}"
            continue
        reported = {key for key in wrong_roots if node.get(key) == cfg[key]}
        remaining = {key: value for key, value in node.items() if key not in reported}
        yield from node_faults(
            path, remaining, trusted, PROVIDED.get(group, set()) | reported, group
        )


def renamed_or_nearest(path: str, names: Iterable[str]) -> str:
    """Return what a former key is now called; for any other unknown key, the closest one."""
    return rename_hint(path) or suggest(path.rpartition(".")[2], names)


def choice_hint(group: str, path: str, node: Any, cfg: Mapping[str, Any]) -> str:
    """Return what to write instead of a node that is not a component.

    Args:
        group: Group of the component, such as encoder.
        path: Config path of the node.
        node: The node.
        cfg: The whole configuration.
    """
    known = [p for _, p, n in components(cfg) if isinstance(n, Mapping) and "_target_" in n]
    close = get_close_matches(path, known, n=1, cutoff=0.75)
    if close and isinstance(node, Mapping):
        return f"did you mean {close[0]!r}?"
    choice = path.replace(".", "/", 1) if group == "encoder" else group
    available = accepted_options(choice, str(cfg.get("command")))
    return f"set {choice}=NAME" + (f" ({', '.join(available)})" if available else "")


def node_faults(
    path: str,
    node: Mapping[str, Any],
    trusted: tuple[str, ...],
    provided: Set[str] = frozenset(),
    group: str | None = None,
) -> Iterator[str]:
    """Yield the errors of a target, its arguments and the targets nested in them.

    Every target is checked before it is instantiated, wherever it is in the arguments.

    Args:
        path: Config path of the node.
        node: A mapping with ``_target_`` and arguments.
        trusted: Packages that may be imported.
        provided: Arguments that are not configurable.
        group: Group that a target in mmtx must belong to (default: any).
    """
    target = str(node["_target_"])
    try:
        signature = signature_of(target, trusted)
    except TargetError as error:
        hint = f"; {renamed}" if (renamed := rename_hint(target)) else ""
        yield f"{path}._target_: {error}{hint}"
        return
    if group and target.startswith("mmtx_cli.") and not target.startswith(f"mmtx_cli.{group}."):
        yield f"{path}._target_: {target!r} is not a class of mmtx_cli.{group}"
        return
    yield from argument_faults(path, node, signature, provided)
    for key, value in node.items():
        yield from nested_faults(f"{path}.{key}", value, trusted)


def nested_faults(path: str, value: Any, trusted: tuple[str, ...]) -> Iterator[str]:
    """Check targets inside an argument by the same rules; an interpolation could hide one."""
    if isinstance(value, str) and "${" in value:
        yield f"{path}: {value!r} is an unresolved interpolation"
    elif isinstance(value, Mapping) and "_target_" in value:
        yield from node_faults(path, value, trusted)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from nested_faults(f"{path}.{key}", item, trusted)
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from nested_faults(f"{path}[{i}]", item, trusted)


def argument_faults(
    path: str, node: Mapping[str, Any], signature: inspect.Signature, provided: Set[str]
) -> Iterator[str]:
    """Yield errors for unknown, missing and wrongly typed arguments of a component.

    Args:
        path: Config path of the component.
        node: A mapping with ``_target_`` and arguments.
        signature: The target's signature.
        provided: Arguments that are not configurable.
    """
    known = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    names = [name for name in known if name not in provided]
    for key, value in node.items():
        if key == "_target_":
            continue
        special = str(key).startswith("_") and str(key).endswith("_")  # Hydra's own: _args_ …
        if key in provided or special or (key not in known and not open_ended):
            full = f"{path}.{key}"
            hint = renamed_or_nearest(full, names) + experiment_hint(full)
            yield f"{full}: unknown key; {hint}"
        elif key in known:
            fault = type_fault(value, known[key].annotation)
            if fault is None and str(node["_target_"]).startswith("mmtx_cli."):
                fault = bounds_fault(str(key), value)
            if fault:
                yield f"{path}.{key}: {fault}"
    for name, parameter in known.items():
        required = parameter.default is parameter.empty and parameter.kind in (
            parameter.KEYWORD_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
        )
        if required and name not in node and name not in provided:
            yield f"{path}.{name}: required but not set"


def type_fault(value: object, annotation: object) -> str | None:
    """Return an error if a plain value does not match a plain annotation, else None.

    The value None always matches, since it may be filled in later.
    """
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    allowed = {part.strip().partition("[")[0] for part in text.split("|")}
    kinds: dict[str, type | tuple[type, ...]] = {
        "int": int, "float": (int, float), "bool": bool, "str": str, "Sequence": list, "list": list
    }  # fmt: skip
    if value is None or not allowed <= {*kinds, "None"}:
        return None
    for name in allowed - {"None"}:
        if isinstance(value, kinds[name]) and (name == "bool" or not isinstance(value, bool)):
            return None
    return f"{value!r} is not of type {text}"


def section_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Validate each plain section against its settings class."""
    for name, settings in SECTIONS.items():
        yield from settings_faults(name, {} if cfg.get(name) is None else cfg[name], settings)


def settings_faults(path: str, node: Any, settings: type) -> Iterator[str]:
    """Set each key on the settings class by itself, and yield the errors."""
    if not isinstance(node, Mapping):
        yield f"{path}: {node!r} is not a section; set its keys individually: {path}.KEY=VALUE"
        return
    names, sections = [field.name for field in fields(settings)], subsections(settings)
    for key, value in node.items():
        if key not in names:
            yield f"{path}.{key}: unknown key; {renamed_or_nearest(f'{path}.{key}', names)}"
        elif key in list_fields(settings) and not isinstance(value, list | None):
            yield f"{path}.{key}: {value!r} is not a list; write {path}.{key}=[{{…}},{{…}}]"
        elif key in sections and isinstance(value, list):
            for i, item in enumerate(value):
                yield from settings_faults(f"{path}.{key}[{i}]", item, sections[key])
        elif key in sections and value is not None:
            yield from settings_faults(f"{path}.{key}", value, sections[key])
        else:
            try:
                OmegaConf.merge(OmegaConf.structured(settings), {key: value})
            except OmegaConfBaseException:
                kind = inspect.formatannotation(get_type_hints(settings)[key])
                remedy = f"; write {path}.{key}='[{value}]'" if kind == "list[str]" else ""
                yield f"{path}.{key}: {value!r} is not of type {kind}{remedy}"


def subsections(settings: type) -> dict[str, type]:
    """Return the classes of the fields that are settings themselves, or lists of settings."""
    hints = get_type_hints(settings).items()
    return {name: kind for name, t in hints for kind in nested_types(t) if is_dataclass(kind)}  # type: ignore[misc]


def list_fields(settings: type) -> set[str]:
    """Return the names of the fields that are lists of settings."""
    lists = (
        (name, kind)
        for name, hint in get_type_hints(settings).items()
        for kind in nested_types(hint)
        if get_origin(kind) is list
    )
    return {name for name, kind in lists if is_dataclass(get_args(kind)[0])}


def nested_types(hint: Any) -> Iterator[Any]:
    """Yield a type and the types that it is composed of: for ``list[X] | None``, also ``X``."""
    yield hint
    for part in get_args(hint):
        yield from nested_types(part)
