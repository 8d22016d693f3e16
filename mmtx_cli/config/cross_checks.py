"""Cross-field validation of a configuration."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

from mmtx_cli.config.constraints import at, entries
from mmtx_cli.config.introspect import TargetError, class_constant
from mmtx_cli.suggest import nearest

TRAINING = ("pretrain", "finetune")
CACHING = "data_cache"


def meaning_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors for settings that are valid by themselves but not together."""
    encoders = {str(name) for name, node in entries(cfg, "encoder") if node}
    if not encoders:
        yield "encoder: no encoder selected; set e.g. encoder/image=vit"
    if cfg.get("command") == CACHING:  # only encoders are needed
        yield from training_faults(cfg, encoders)
        return
    if not cfg.get("head"):
        yield "head: no head selected; set e.g. head=captioning"
    if not cfg.get("fusion"):
        yield "fusion: no fusion selected; set e.g. fusion=concat"
    if cfg.get("command") in TRAINING:
        yield from training_faults(cfg, encoders)
    drop = cfg.get("drop_modalities", [])
    for name in drop if isinstance(drop, list) else ():
        if name not in encoders:
            hint = nearest(str(name), encoders)
            yield f"drop_modalities: the model has no encoder for {name!r}; {hint}"
    if drop and encoders <= set(map(str, drop)):
        yield "drop_modalities: no modality remains; keep at least one"
    for name in at(cfg, "data.modality_dropout_by") or ():
        if name not in encoders:
            hint = nearest(str(name), encoders)
            yield f"data.modality_dropout_by.{name}: the model has no such encoder; {hint}"
    yield from fusion_faults(cfg, encoders)
    yield from word_faults(cfg)
    yield from leak_faults(cfg)
    if cfg.get("command") == "caption" and at(cfg, "data.cache"):
        yield "data.cache: mmtx caption reads files, not cached features; remove it"
    if cfg.get("command") == "caption" or (
        cfg.get("command") == "predict" and not at(cfg, "data.path")
    ):
        yield from asking_faults(cfg)
    yield from untrained_faults(cfg, encoders)


def is_trained(node: Any) -> bool:
    """Return True if a head has weights trained with the model, False if it is evaluation-only."""
    return constant(node, "trained") is not False


def untrained_faults(cfg: Mapping[str, Any], encoders: Set[str]) -> Iterator[str]:
    """Yield errors for evaluation-only heads in other commands, or with an unsuitable model."""
    own = {name: node for name, node in entries(cfg, "head") if is_trained(node)}
    aligned = any(constant(node, "aligns") for node in own.values())
    foreign = any(not str(at(node, "_target_")).startswith("mmtx_cli.") for node in own.values())
    for name, node in entries(cfg, "head"):
        if name in own:
            continue
        if cfg.get("command") != "eval":
            yield (
                f"head.{name}: is evaluation-only; use it with a trained model: "
                f"mmtx eval ckpt=RUN head={name}"
            )
        elif constant(node, "asks_aligned") and not aligned and not foreign:
            yield (
                f"head.{name}: needs a contrastive head, but the model has only {', '.join(own)}; "
                "pre-train with head=contrastive"
            )
        elif constant(node, "asks_text") and "text" not in encoders:
            yield f"head.{name}: needs a text encoder to encode the class names; the model has none"


def fusion_faults(cfg: Mapping[str, Any], encoders: Set[str]) -> Iterator[str]:
    """Yield errors for unknown modalities in the fusion, and heads that need a fused stream."""
    fusion = cfg.get("fusion")
    for key in constant(fusion, "naming") or ():  # type: ignore[attr-defined]
        named = fusion.get(key)  # type: ignore[union-attr]
        for name in named if isinstance(named, list) else ():
            if name not in encoders:
                hint = nearest(str(name), encoders)
                yield f"fusion.{key}: no encoder for {name!r}; {hint}"
    if constant(fusion, "joins") is not False or len(encoders) < 2:
        return
    for name, node in entries(cfg, "head"):
        own = constant(node, "reads_one")
        if constant(node, "mixes"):
            yield f"head.{name}: needs a fused stream; set e.g. fusion=concat"
            continue
        if constant(node, "votes") is False and not own and not node.get("reads"):
            what = said(node) or "its outputs"
            yield (
                f"head.{name}: fusion=decision has no fused stream, and {what} cannot be averaged; "
                f"use another fusion, or a single modality: head.{name}.reads=[{min(encoders)}]"
            )


def constant(node: Any, name: str) -> object:
    """Return a literal class attribute of a component, or None if it cannot be read."""
    try:
        return class_constant(str(node["_target_"]), name)
    except (TargetError, TypeError, KeyError):
        return None


def training_faults(cfg: Mapping[str, Any], encoders: Set[str]) -> Iterator[str]:
    """Yield errors for settings that only training needs."""
    if not at(cfg, "data.path") and not at(cfg, "data.mixture"):
        yield "data.path: no data; set data.path=MANIFEST.jsonl or data=scenes"
    yield from mixture_faults(cfg)
    if at(cfg, "data.batch_size") == 1:
        for name, node in entries(cfg, "head"):
            if constant(node, "contrasts") or node.get("kind") == "relation":
                yield (
                    f"data.batch_size: 1 leaves no other samples for head.{name} to compare with; "
                    "must be at least 2"
                )
    mute = "text" in (cfg.get("data") or {}) and at(cfg, "data.text") is None
    if mute and reads_words(cfg) and any(reads_text(node) for _, node in entries(cfg, "head")):
        yield "encoder.text: has no input; set data.text, or remove the encoder: encoder.text=null"
    sampling = at(cfg, "data.frame_sampling")
    if sampling in ("fps", "dense") and at(cfg, "data.fps") is None:
        yield f"data.fps: required by data.frame_sampling={sampling}; set e.g. data.fps=8"
    rate = cfg.get("sample_rate")
    if isinstance(rate, int) and rate % 100:
        possible = max(1, round(rate / 100)) * 100
        yield (
            f"sample_rate: {rate} is not a multiple of 100, which 10 ms hops require; set "
            f"sample_rate={possible}, to which files are resampled"
        )
    longest, read = cfg.get("max_length"), at(cfg, "encoder.text.max_length")
    if isinstance(longest, int) and isinstance(read, int) and read < longest:
        yield (
            f"encoder.text.max_length: {read} is less than max_length={longest}, the length that "
            f"texts are truncated to; set max_length={read}"
        )
    for name, node in entries(cfg, "head"):
        if constant(node, "needs_teacher") and not node.get("teacher"):
            yield (
                f"head.{name}.teacher: required; set it to a trained model: head.{name}.teacher=RUN"
            )
    heads = [f"head.{name}" for name, _ in entries(cfg, "head")]
    parts = [f"{kind}.{name}" for kind in ("encoder", "project") for name in sorted(encoders)]
    known = ["encoder", "project", *parts, "fusion", "head", *heads]
    frozen = cfg.get("freeze")
    for name in map(str, frozen) if isinstance(frozen, list) else ():
        if name not in known and not name.startswith(
            tuple(f"{k}." for k in [*parts, "fusion", *heads])
        ):
            yield f"freeze: the model has no module {name!r}; {nearest(name, known)}"


def mixture_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors in the corpora of ``data.mixture``: names, paths, weights, texts, heads."""
    mixture = at(cfg, "data.mixture")
    if not isinstance(mixture, list) or not all(isinstance(own, Mapping) for own in mixture):
        return
    if at(cfg, "data.path"):
        yield "data.path: cannot be combined with data.mixture; add it to the mixture's corpora"
    names = [own.get("name") for own in mixture]
    weighed = [own.get("weight") is not None for own in mixture]
    heads = {str(name) for name, node in entries(cfg, "head") if node}
    for i, own in enumerate(mixture):
        name, weight, where = own.get("name"), own.get("weight"), f"data.mixture[{i}]"
        if not name or "/" in str(name):
            yield f"{where}.name: {name!r} is invalid; must be a name without a slash"
        elif names.index(name) < i:
            yield f"{where}.name: {name!r} is already used by data.mixture[{names.index(name)}]"
        if not own.get("path"):
            yield f"{where}.path: required; set it to a manifest"
        if any(weighed) and (weight is None or (isinstance(weight, (int, float)) and weight <= 0)):
            yield f"{where}.weight: {weight}; set a weight above 0 for every corpus or for none"
        if own.get("text") not in (None, "text", "captions"):
            yield f"{where}.text: {own['text']!r} is invalid; must be text or captions"
        for head in own.get("heads") or ():
            if str(head) not in heads:
                yield f"{where}.heads: unknown head {head!r}; {nearest(str(head), heads)}"
        if own.get("heads") == []:
            yield f"{where}.heads: must not be empty; list heads, or remove the key"
    taught = [own.get("heads") for own in mixture]
    for head in sorted(heads):
        if taught and all(chosen is not None and head not in chosen for chosen in taught):
            yield f"head.{head}: not listed in the heads of any corpus in data.mixture"


def reads_words(cfg: Mapping[str, Any]) -> bool:
    """Return True if the text encoder reads words rather than precomputed features."""
    node = at(cfg, "encoder.text")
    return bool(node) and not constant(node, "reads_features")


def reads_text(head: Any) -> bool:
    """Return True if a head reads the text, by itself or in the fused stream."""
    reads = head.get("reads") if isinstance(head, Mapping) else None
    return not isinstance(reads, list) or bool({"text", "fused"} & set(reads))


def leak_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors for heads that would read the captions they are trained to generate."""
    encoders = {str(name) for name, node in entries(cfg, "encoder") if node}
    if at(cfg, "data.text") != "captions" or not reads_words(cfg):
        return
    for name, node in entries(cfg, "head"):
        if said(node) == "captions" and reads_text(node):
            others = sorted(encoders - {"text"})
            yield (
                f"head.{name}: reads the captions that it should generate (data.text=captions); "
                f"set head.{name}.reads=[{','.join(others)}]"
            )


def answers(head: Any) -> bool:
    """Return True if a head has answers to questions as its targets."""
    needs = constant(head, "needs")
    return isinstance(needs, tuple) and "answers" in needs


def said(head: Any) -> str | None:
    """Return what a head generates, captions or answers, or None if it generates no text."""
    if not constant(head, "learns"):
        return None
    return str(head.get("says", "captions"))


def word_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors for heads whose ``says`` is not a text that they can learn."""
    for name, node in entries(cfg, "head"):
        learns, word = constant(node, "learns"), said(node)
        if isinstance(learns, dict) and isinstance(node.get("says"), str) and word not in learns:
            yield f"head.{name}.says: unknown target {word!r}; {nearest(str(word), learns, True)}"


def asking_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors if ``text`` is set but no head reads it, or missing for a head that answers."""
    every = cfg.get("command") == "predict"  # not only heads that generate text
    speakers = [node for _, node in entries(cfg, "head") if node and (every or said(node))]
    heard = reads_words(cfg) and any(map(reads_text, speakers))
    if cfg.get("text") and not heard:
        yield "text: no head of this model that generates text reads a text; remove it"
    answering = any(said(node) == "answers" or answers(node) for node in speakers)
    if not cfg.get("text") and heard and answering:
        yield "text: required; this model answers a question, e.g. text='what color is it?'"
