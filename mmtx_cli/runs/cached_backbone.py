"""Bodies of encoders whose output is cached apart: which there are, and whether they are frozen."""

from collections.abc import Mapping
from typing import Any

from mmtx_cli.config.introspect import TargetError, class_constant
from mmtx_cli.data.cache.card import BODY


def keeps_body(node: Mapping[str, Any]) -> bool:
    """Can the output of an encoder's body be kept alone?"""
    try:
        return bool(class_constant(str(node.get("_target_")), "keeps_body"))
    except TargetError:  # not of mmtx
        return False


def is_named(encoder: str, cfg: Mapping[str, Any]) -> bool:
    """Does ``freeze`` at the root name an encoder, or all?"""
    return bool({"encoder", encoder} & {*map(str, cfg.get("freeze") or [])})


def is_trained_body(encoder: Any) -> bool:
    """Has the body of an encoder weights that are trained?"""
    own = encoder.named_parameters()
    return any(p.requires_grad for name, p in own if name.startswith(encoder.body_prefix))


def trained_body(part: str, folder: Any) -> str:
    """What to say of a body that is cached and not frozen."""
    return (
        f"{part}: data.cache={folder} holds what it gives, so it cannot be trained; "
        f"write {part.removesuffix(BODY)}.freeze=true, or leave data.cache out"
    )
