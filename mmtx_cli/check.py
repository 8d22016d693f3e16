"""Check a configuration before any data or device is touched: all faults at once, in place."""

import inspect
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mmtx_cli.error import ConfigError
from mmtx_cli.settings import SECTIONS
from mmtx_cli.signature import TargetError, class_constant, signature_of

PROVIDED = {"fusion": {"modalities"}, "head": {"streams"}}
"""Arguments that are not configured: the parts of the model that come before give them."""


def check(cfg: Mapping[str, Any]) -> None:
    """Raise one ConfigError that lists every fault of a run's plain configuration."""
    faults = [*component_faults(cfg), *section_faults(cfg), *meaning_faults(cfg)]
    if faults:
        raise ConfigError(*faults)


def nearest(word: str, names: "Mapping[str, Any] | list[str]") -> str:
    """Say which of the names was meant, or which there are."""
    close = get_close_matches(word, list(names), n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"there are: {', '.join(names)}" if names else "there are none"


def components(cfg: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """(group, config path, node) of every part of the model."""
    for name, node in (cfg.get("encoder") or {}).items():
        yield "encoder", f"encoder.{name}", node
    if cfg.get("fusion") is not None:
        yield "fusion", "fusion", cfg["fusion"]
    for name, node in (cfg.get("head") or {}).items():
        yield "head", f"head.{name}", node


def component_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Resolve every target and bind what is configured to its signature."""
    trusted = tuple(cfg.get("trusted_packages") or ())
    for group, path, node in components(cfg):
        if node is None:
            continue
        if not isinstance(node, Mapping) or "_target_" not in node:
            known = [p for _, p, n in components(cfg) if isinstance(n, Mapping) and "_target_" in n]
            choice = path.replace(".", "/", 1) if group == "encoder" else group
            yield f"{path}: no component is chosen here: write {choice}=NAME first, or " + nearest(
                path, known
            )
            continue
        try:
            signature = signature_of(str(node["_target_"]), trusted)
        except TargetError as error:
            yield f"{path}._target_: {error}"
            continue
        yield from argument_faults(path, node, signature, PROVIDED.get(group, set()))


def argument_faults(
    path: str, node: Mapping[str, Any], signature: inspect.Signature, provided: set[str]
) -> Iterator[str]:
    """Unknown, missing and wrongly typed arguments of one component."""
    known = signature.parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    names = [name for name in known if name not in provided]
    for key, value in node.items():
        if key == "_target_":
            continue
        if key in provided or (key not in known and not open_ended):
            yield f"{path}.{key}: unknown key; {nearest(key, names)}"
        elif key in known:
            fault = type_fault(value, known[key].annotation)
            if fault:
                yield f"{path}.{key}: {fault}"
    for name, parameter in known.items():
        required = parameter.default is parameter.empty and parameter.kind in (
            parameter.KEYWORD_ONLY,
            parameter.POSITIONAL_OR_KEYWORD,
        )
        if required and name not in node and name not in provided:
            yield f"{path}.{name}: required and not set"


def type_fault(value: object, annotation: object) -> str | None:
    """Say if a plain value is not of a plainly annotated type; None stands for "not known yet"."""
    text = str(annotation)
    allowed = {part.strip() for part in text.split("|")}
    kinds: dict[str, type | tuple[type, ...]] = {
        "int": int, "float": (int, float), "bool": bool, "str": str
    }  # fmt: skip
    if value is None or not allowed <= {*kinds, "None"}:
        return None
    for name in allowed - {"None"}:
        if isinstance(value, kinds[name]) and (name == "bool" or not isinstance(value, bool)):
            return None
    return f"{value!r} is not of type {text}"


def section_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Hold each plain section against its settings."""
    for name, settings in SECTIONS.items():
        yield from settings_faults(name, cfg.get(name) or {}, settings)


def settings_faults(path: str, node: Mapping[str, Any], settings: type) -> Iterator[str]:
    """Set one key after the other on the typed settings, and collect what it says."""
    schema = OmegaConf.structured(settings)
    for key, value in node.items():
        if key not in schema:
            yield f"{path}.{key}: unknown key; {nearest(key, [str(k) for k in schema])}"
            continue
        try:
            OmegaConf.update(schema, key, value, merge=True)
        except OmegaConfBaseException as error:
            reason = str(error).splitlines()[0]
            yield f"{path}.{error.full_key or key}: {reason}"


def meaning_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """What each part allows and the whole does not."""
    data = cfg.get("data") or {}
    if data.get("text", "text") not in ("text", "captions", None):
        yield f"data.text: {data['text']!r} is none of text, captions, null"
    if data.get("fit", "crop") not in ("crop", "squash"):
        yield f"data.fit: {data['fit']!r} is neither crop nor squash"
    if not any((cfg.get("encoder") or {}).values()):
        yield "encoder: no encoder is chosen; write for example encoder/image=vit"
    if not cfg.get("head"):
        yield "head: no head is chosen; write for example head=captioning"
    if not cfg.get("fusion"):
        yield "fusion: none is chosen; write for example fusion=concat"
    yield from leak_faults(cfg)


def leak_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """A head must not read the captions that it is to produce."""
    encoders = {name for name, node in (cfg.get("encoder") or {}).items() if node}
    if (cfg.get("data") or {}).get("text") != "captions" or "text" not in encoders:
        return
    for name, node in (cfg.get("head") or {}).items():
        target = str(node.get("_target_", "")) if isinstance(node, Mapping) else ""
        try:
            needs = class_constant(target, "needs")
        except TargetError:
            continue
        reads = node.get("reads")
        if needs and "captions" in needs and (reads is None or {"text", "fused"} & set(reads)):  # type: ignore[operator]
            others = sorted(encoders - {"text"})
            yield (
                f"head.{name}: would read the captions it is to produce (data.text=captions); "
                f"set head.{name}.reads=[{','.join(others)}]"
            )
