"""Validate heads that train a captioner further on the score of its captions."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmtx_cli.config.constraints import entries, is_number, select
from mmtx_cli.config.cross_checks import TRAINING, class_attribute, text_target, trait

BASELINES = ("leave_one_out", "greedy")
"""What the reward of a caption can be compared with."""


def self_critical_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of such a head and of the settings that it needs."""
    for name, node in entries(cfg, "head"):
        if trait(node, "trains") is None or cfg.get("command") not in TRAINING:
            continue
        path = f"head.{name}"
        if not cfg.get("ckpt") and not cfg.get("resume"):
            yield (
                f"{path}: trains a captioner further, and one from scratch writes no captions to "
                "score; set ckpt=RUN, a model trained with head=captioning"
            )
        elif is_positive(node.get("kl", 1)) and not node.get("teacher"):
            yield (
                f"{path}.teacher: required by {path}.kl; set it to the captioner that the training "
                f"starts from, or set {path}.kl=0"
            )
        yield from argument_faults(path, node)
        if text_target(node) == "answers":
            yield f"{path}.target: only captions have a score to train on; remove {path}"
        decoder = cfg.get("decoder") or {}
        if class_attribute(decoder, "reads_raw"):
            yield (
                f"{path}: not for published models, which sample with the generator of their own "
                "library; use a decoder of the group decoder"
            )
        if decoder.get("objective", "text") != "text":
            yield f"decoder.objective={decoder['objective']}: {path} generates text; remove it"
        if select(cfg, "trainer.loss_spike_factor") is not None:
            yield (
                f"trainer.loss_spike_factor: the loss of {path} is about minus the reward, no "
                "multiple of which is a spike; remove it"
            )


def argument_faults(path: str, node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of the samples and the baseline of a head."""
    baseline = node.get("baseline", BASELINES[0])
    samples: Any = node.get("num_samples")
    if isinstance(baseline, str) and baseline not in BASELINES:
        yield f"{path}.baseline: {baseline!r} is invalid; must be one of {', '.join(BASELINES)}"
    if baseline == "leave_one_out" and is_number(samples) and samples < 2:
        yield (
            f"{path}.num_samples={samples}: baseline=leave_one_out compares a caption with the "
            f"others of its sample; set at least 2, or {path}.baseline=greedy"
        )


def is_positive(value: Any) -> bool:
    """Return True for a number above 0."""
    return isinstance(value, (int, float)) and value > 0
