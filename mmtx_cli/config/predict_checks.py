"""Validate ``mmtx predict``: which heads can predict without targets, and what they need."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmtx_cli.config.constraints import at, entries
from mmtx_cli.config.cross_checks import constant, reads_words, trait

FILES = ("image", "video", "audio")


def prediction_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors in a configuration of ``mmtx predict``; none for other commands."""
    if cfg.get("command") != "predict":
        return
    if at(cfg, "data.cache"):
        yield "data.cache: inputs are read from files, not from a cache; remove it"
    encoders = {str(name): node for name, node in entries(cfg, "encoder") if node}
    from_files = [name for name in FILES if name in encoders and not vectors(encoders[name])]
    if cfg.get("inputs") and not from_files:
        listed = ", ".join(f"{n} (features)" if vectors(x) else n for n, x in encoders.items())
        yield (
            f"inputs: this model cannot read files (encoders: {listed}); use "
            "data.path=MANIFEST.jsonl"
        )
    yield from head_faults(cfg)


def vectors(encoder: Any) -> bool:
    """Return True if an encoder reads precomputed features."""
    return bool(constant(encoder, "reads_features"))


def head_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors if no head can predict, or if ``texts`` cannot be compared with the inputs."""
    heads = {str(name): node for name, node in entries(cfg, "head") if node}
    aligned = [name for name, node in heads.items() if trait(node, "contrastive")]
    foreign = any(not str(at(node, "_target_")).startswith("mmtx_cli.") for node in heads.values())
    if cfg.get("texts"):
        if not aligned and not foreign:
            yield "texts: this model has no contrastive head to compare them with; remove it"
        elif not reads_words(cfg):
            yield "texts: this model has no text encoder that reads words; remove it"
        return
    others = [n for n, node in heads.items() if n not in aligned and trait(node, "predicts")]
    if others or foreign or cfg.get("embeddings"):
        return
    if aligned:
        yield (
            f"head.{aligned[0]}: ranks candidate texts, but none are given; set "
            'texts=\'["a dog","a cat"]\' or texts=FILE, or embeddings=true to write embeddings'
        )
    elif heads:
        yield (
            f"head.{', head.'.join(heads)}: a pre-training objective, which cannot predict for new "
            "inputs; set embeddings=true to write embeddings, or train a head that predicts: "
            "mmtx finetune ckpt=RUN head=classification"
        )
