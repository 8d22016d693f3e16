"""Validate ``mmtx predict``: which heads can predict without targets, and what they need."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmtx_cli.config.constraints import entries, select
from mmtx_cli.config.cross_checks import class_attribute, reads_words, trait

FILES = ("image", "video", "audio")


def prediction_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors in a configuration of ``mmtx predict``; none for other commands."""
    if cfg.get("command") != "predict":
        return
    if select(cfg, "data.cache"):
        yield "data.cache: inputs are read from files, not from a cache; remove it"
    encoders = {str(name): node for name, node in entries(cfg, "encoder") if node}
    from_files = [name for name in FILES if name in encoders and not reads_features(encoders[name])]
    if cfg.get("inputs") and not from_files:
        listed = ", ".join(
            f"{n} (features)" if reads_features(x) else n for n, x in encoders.items()
        )
        yield (
            f"inputs: this model cannot read files (encoders: {listed}); use "
            "data.path=MANIFEST.jsonl"
        )
    if cfg.get("embeddings") and any(
        class_attribute(node, "is_placeholder") for node in encoders.values()
    ):
        yield "embeddings=true: not available for a published model; remove it"
    yield from head_faults(cfg)


def reads_features(encoder: Any) -> bool:
    """Return True if an encoder reads precomputed features."""
    return bool(class_attribute(encoder, "reads_features"))


def head_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors if no head can predict, or if ``texts`` cannot be compared with the inputs."""
    heads = {str(name): node for name, node in entries(cfg, "head") if node}
    contrastive = [name for name, node in heads.items() if trait(node, "contrastive")]
    has_custom_head = any(
        not str(select(node, "_target_")).startswith("mmtx_cli.") for node in heads.values()
    )
    if cfg.get("texts"):
        if not contrastive and not has_custom_head:
            yield "texts: this model has no contrastive head to compare them with; remove it"
        elif not reads_words(cfg):
            yield "texts: this model has no text encoder that reads words; remove it"
        return
    predicting = [
        n for n, node in heads.items() if n not in contrastive and trait(node, "predicts")
    ]
    if predicting or has_custom_head or cfg.get("embeddings"):
        return
    if contrastive:
        yield (
            f"head.{contrastive[0]}: ranks candidate texts, but none are given; set "
            'texts=\'["a dog","a cat"]\' or texts=FILE, or embeddings=true to write embeddings'
        )
    elif heads:
        yield (
            f"head.{', head.'.join(heads)}: a pre-training objective, which cannot predict for new "
            "inputs; set embeddings=true to write embeddings, or train a head that predicts: "
            "mmtx finetune ckpt=RUN head=classification"
        )
