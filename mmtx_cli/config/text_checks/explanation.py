"""Validate ``mmtx caption explain=…``: which models can be explained."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmtx_cli.config.constraints import entries
from mmtx_cli.config.cross_checks import class_attribute

MAPPED = ("image", "video", "audio")
"""Modalities whose inputs have places."""


def explanation_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors in a configuration with ``explain``; none without."""
    if not cfg.get("explain"):
        return
    if cfg.get("vlm") or class_attribute(cfg.get("decoder"), "reads_raw"):
        yield "explain: not available for published vision-language models (vlm); remove it"
        return
    encoders = {name: node for name, node in entries(cfg, "encoder") if node and name in MAPPED}
    if encoders and all(class_attribute(node, "reads_features") for node in encoders.values()):
        have = ", ".join(f"encoder/{name}=precomputed" for name in encoders)
        yield f"explain: precomputed features have no places in the input ({have}); remove it"
