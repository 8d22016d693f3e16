"""Cross-field validation of a configuration."""

from collections.abc import Iterator, Mapping, Set
from typing import Any

from mmtx_cli.config.constraints import entries, select
from mmtx_cli.config.introspect import TargetError, class_constant, class_trait, signature_of
from mmtx_cli.config.mixture_checks import mixture_faults
from mmtx_cli.config.preprocessing import PLACE
from mmtx_cli.suggest import suggest

TRAINING = ("pretrain", "finetune")
CACHING = "data_cache"


def cross_field_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
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
            hint = suggest(str(name), encoders)
            yield f"drop_modalities: the model has no encoder for {name!r}; {hint}"
    if drop and encoders <= set(map(str, drop)):
        yield "drop_modalities: no modality remains; keep at least one"
    for name in select(cfg, "data.modality_dropout_by") or ():
        if name not in encoders:
            hint = suggest(str(name), encoders)
            yield f"data.modality_dropout_by.{name}: the model has no such encoder; {hint}"
    yield from fusion_faults(cfg, encoders)
    yield from decoder_faults(cfg)
    yield from target_faults(cfg)
    yield from leak_faults(cfg)
    if cfg.get("command") == "caption" and select(cfg, "data.cache"):
        yield "data.cache: mmtx caption reads files, not cached features; remove it"
    if cfg.get("command") == "caption" or (
        cfg.get("command") == "predict" and not select(cfg, "data.path")
    ):
        yield from text_input_faults(cfg)
    yield from eval_only_faults(cfg, encoders)


def is_trained(node: Any) -> bool:
    """Return True if a head has weights trained with the model, False if it is evaluation-only."""
    return trait(node, "trained") is not False


def eval_only_faults(cfg: Mapping[str, Any], encoders: Set[str]) -> Iterator[str]:
    """Yield errors for evaluation-only heads in other commands, or with an unsuitable model."""
    trained = {name: node for name, node in entries(cfg, "head") if is_trained(node)}
    aligned = any(trait(node, "contrastive") for node in trained.values())
    has_custom_head = any(
        not str(select(node, "_target_")).startswith("mmtx_cli.") for node in trained.values()
    )
    for name, node in entries(cfg, "head"):
        if name in trained:
            continue
        if cfg.get("command") != "eval":
            yield (
                f"head.{name}: is evaluation-only; use it with a trained model: "
                f"mmtx eval ckpt=RUN head={name}"
            )
        elif trait(node, "needs_contrastive") and not aligned and not has_custom_head:
            yield (
                f"head.{name}: needs a contrastive head, but the model has only "
                f"{', '.join(trained)}; "
                "pre-train with head=contrastive"
            )
        elif trait(node, "encodes_text") and "text" not in encoders:
            yield f"head.{name}: needs a text encoder to encode the class names; the model has none"


def fusion_faults(cfg: Mapping[str, Any], encoders: Set[str]) -> Iterator[str]:
    """Yield errors for unknown modalities in the fusion, and heads that need a fused stream."""
    fusion = cfg.get("fusion")
    for key in class_attribute(fusion, "naming") or ():  # type: ignore[attr-defined]
        modalities = fusion.get(key)  # type: ignore[union-attr]
        for name in modalities if isinstance(modalities, list) else ():
            if name not in encoders:
                hint = suggest(str(name), encoders)
                yield f"fusion.{key}: no encoder for {name!r}; {hint}"
    if class_attribute(fusion, "joins") is not False or len(encoders) < 2:
        return
    for name, node in entries(cfg, "head"):
        single_modality = trait(node, "unimodal")
        if trait(node, "makes_negatives"):
            yield f"head.{name}: needs a fused stream; set e.g. fusion=concat"
            continue
        if trait(node, "late_fusion") is False and not single_modality and not node.get("streams"):
            what = text_target(node) or "its outputs"
            yield (
                f"head.{name}: fusion=decision has no fused stream, and {what} cannot be averaged; "
                f"use another fusion, or a single modality: head.{name}.streams=[{min(encoders)}]"
            )


def decoder_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors for a decoder that no head uses, and for a connector that does not fit it."""
    decoder, connector = cfg.get("decoder"), cfg.get("connector")
    if decoder_section(decoder) != "vlm":
        for name, node in entries(cfg, "encoder"):
            if class_attribute(node, "is_placeholder"):
                yield (
                    f"encoder.{name}: a published model reads its input itself, and other heads "
                    f"cannot use it; set encoder/{name}=NAME"
                )
    if not decoder:
        if connector:
            yield "connector: only a decoder reads through it; set decoder=NAME, or remove it"
        return
    is_published = decoder_section(decoder) == "vlm"
    is_trained_whole = decoder.get("freeze") is False
    has_trained_part = is_trained_whole or decoder.get("lora")
    if is_published and cfg.get("command") in TRAINING and not has_trained_part:
        yield (
            "vlm.lora: required to train a published model, e.g. "
            "'vlm.lora={r: 16, lora_alpha: 32}'; to train all of it, set vlm.freeze=false"
        )
    trusted = tuple(cfg.get("trusted_packages") or ())
    if not any(takes_decoder(node, trusted) for _, node in entries(cfg, "head")):
        yield "decoder: no head generates text; set head=captioning, or remove it"
    takes_connector = class_attribute(decoder, "takes_connector")
    if takes_connector is False and connector:
        yield "connector: this decoder reads its context without one; remove it"
    if takes_connector and not connector:
        yield "connector: required by this decoder; set e.g. connector=prefix"


def decoder_section(node: Any) -> str:
    """Return the config section of a decoder: ``vlm`` for a published vision-language model."""
    return "vlm" if class_attribute(node, "reads_raw") else "decoder"


def takes_decoder(head: Any, trusted: tuple[str, ...] = ()) -> bool:
    """Return True if a head's class has the argument ``decoder``."""
    try:
        return "decoder" in signature_of(str(head["_target_"]), trusted).parameters
    except (TargetError, TypeError, KeyError):
        return False


def class_attribute(node: Any, name: str) -> object:
    """Return a literal class attribute of a component, or None if it cannot be read."""
    try:
        return class_constant(str(node["_target_"]), name)
    except (TargetError, TypeError, KeyError):
        return None


def trait(node: Any, name: str) -> object:
    """Return a trait of a head's class, or None if it cannot be read."""
    try:
        return class_trait(str(node["_target_"]), name)
    except (TargetError, TypeError, KeyError):
        return None


def training_faults(cfg: Mapping[str, Any], encoders: Set[str]) -> Iterator[str]:
    """Yield errors for settings that only training needs."""
    if not select(cfg, "data.path") and not select(cfg, "data.mixture"):
        yield "data.path: no data; set data.path=MANIFEST.jsonl or data=scenes"
    yield from mixture_faults(cfg)
    if select(cfg, "data.batch_size") == 1:
        for name, node in entries(cfg, "head"):
            if trait(node, "compares_samples") or node.get("kind") == "relation":
                yield (
                    f"data.batch_size: 1 leaves no other samples for head.{name} to compare with; "
                    "must be at least 2"
                )
    text_disabled = "text" in (cfg.get("data") or {}) and select(cfg, "data.text") is None
    if (
        text_disabled
        and reads_words(cfg)
        and any(reads_text(node) for _, node in entries(cfg, "head"))
    ):
        yield "encoder.text: has no input; set data.text, or remove the encoder: encoder.text=null"
    sampling = select(cfg, "data.frame_sampling")
    if sampling in ("fps", "dense") and select(cfg, "data.fps") is None:
        yield f"data.fps: required by data.frame_sampling={sampling}; set e.g. data.fps=8"
    rate = cfg.get("sample_rate")
    if isinstance(rate, int) and rate % 100:
        suggested = max(1, round(rate / 100)) * 100
        yield (
            f"sample_rate: {rate} is not a multiple of 100, which 10 ms hops require; set "
            f"sample_rate={suggested}, to which files are resampled"
        )
    longest, limit = cfg.get("max_length"), select(cfg, "encoder.text.max_length")
    if isinstance(longest, int) and isinstance(limit, int) and limit < longest:
        yield (
            f"encoder.text.max_length: {limit} is less than max_length={longest}, the length that "
            f"texts are truncated to; set max_length={limit}"
        )
    for name, node in entries(cfg, "head"):
        if trait(node, "needs_teacher") and not node.get("teacher"):
            yield (
                f"head.{name}.teacher: required; set it to a trained model: head.{name}.teacher=RUN"
            )
    heads = [f"head.{name}" for name, _ in entries(cfg, "head")]
    modules = [f"{kind}.{name}" for kind in ("encoder", "project") for name in sorted(encoders)]
    known = ["encoder", "project", *modules, "fusion", "head", *heads]
    frozen = cfg.get("freeze")
    for name in map(str, frozen) if isinstance(frozen, list) else ():
        if name not in known and not name.startswith(
            tuple(f"{module}." for module in [*modules, "fusion", *heads])
        ):
            yield f"freeze: the model has no module {name!r}; {suggest(name, known)}"


def reads_words(cfg: Mapping[str, Any]) -> bool:
    """Return True if the text encoder reads words rather than precomputed features."""
    node = select(cfg, "encoder.text")
    return bool(node) and not class_attribute(node, "reads_features")


def reads_text(head: Any) -> bool:
    """Return True if a head reads the text, by itself or in the fused stream."""
    streams = head.get("streams") if isinstance(head, Mapping) else None
    return not isinstance(streams, list) or bool({"text", "fused"} & set(streams))


def leak_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors for heads that would read the captions they are trained to generate."""
    encoders = {str(name) for name, node in entries(cfg, "encoder") if node}
    if select(cfg, "data.text") != "captions" or not reads_words(cfg):
        return
    for name, node in entries(cfg, "head"):
        if text_target(node) == "captions" and reads_text(node):
            others = sorted(encoders - {"text"})
            yield (
                f"head.{name}: reads the captions that it should generate (data.text=captions); "
                f"set head.{name}.streams=[{','.join(others)}]"
            )


def answers_questions(head: Any) -> bool:
    """Return True if a head has answers to questions as its targets."""
    targets = class_attribute(head, "targets")
    return isinstance(targets, tuple) and "answers" in targets


def text_target(head: Any) -> str | None:
    """Return what a head generates, captions or answers, or None if it generates no text."""
    if not class_attribute(head, "text_targets"):
        return None
    return str(head.get("target", "captions"))


def target_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors for heads whose ``target`` is not a text that they can learn."""
    for name, node in entries(cfg, "head"):
        known, kind = class_attribute(node, "text_targets"), text_target(node)
        if isinstance(known, dict) and isinstance(node.get("target"), str) and kind not in known:
            yield f"head.{name}.target: unknown target {kind!r}; {suggest(str(kind), known, True)}"


def text_input_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors if ``text`` is set but no head reads it, or missing for a head that answers."""
    all_heads = cfg.get("command") == "predict"  # not only heads that generate text
    heads = [node for _, node in entries(cfg, "head") if node and (all_heads or text_target(node))]
    prompt = select(cfg, "decoder.prompt")
    reads_question = (reads_words(cfg) and any(map(reads_text, heads))) or PLACE in str(prompt)
    if cfg.get("text") and not reads_question:
        yield "text: no head of this model that generates text reads a text; remove it"
    needs_question = any(
        text_target(node) == "answers" or answers_questions(node) for node in heads
    )
    if not cfg.get("text") and reads_question and needs_question:
        yield "text: required; this model answers a question, e.g. text='what color is it?'"
