"""Encoder backbones ("bodies") whose outputs are cached separately, and whether they are frozen."""

from collections.abc import Mapping
from typing import Any

from mmtx_cli.config.introspect import TargetError, class_constant
from mmtx_cli.data.cache.card import BODY


def keeps_body(node: Mapping[str, Any]) -> bool:
    """Return True if an encoder supports caching the output of its body."""
    try:
        return bool(class_constant(str(node.get("_target_")), "keeps_body"))
    except TargetError:  # not an mmtx class
        return False


def is_in_freeze(encoder: str, cfg: Mapping[str, Any]) -> bool:
    """Return True if the top-level ``freeze`` names this encoder, or all encoders."""
    return bool({"encoder", encoder} & {*map(str, cfg.get("freeze") or [])})


def is_trained_body(encoder: Any) -> bool:
    """Return True if the body of an encoder has trainable weights."""
    parameters = encoder.named_parameters()
    return any(p.requires_grad for name, p in parameters if name.startswith(encoder.body_prefix))


def trained_body_fault(part: str, folder: Any) -> str:
    """Return the error message for a cached body that is not frozen."""
    return (
        f"{part}: its outputs are cached in data.cache={folder}, so it cannot be trained; "
        f"set {part.removesuffix(BODY)}.freeze=true, or remove data.cache"
    )
