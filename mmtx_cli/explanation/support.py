"""Which models and methods can be explained."""

from mmtx_cli.config.text_checks.explanation import MAPPED
from mmtx_cli.errors import ConfigError
from mmtx_cli.fusion.base import PooledFusion
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.suggest import suggest
from mmtx_cli.types import FUSED, Batch

METHODS = ("gradient", "rollout")


def check_explainable(
    model: MultimodalModel, method: str, head: str | None = None, batch: Batch | None = None
) -> CaptioningHead:
    """Return the head that generates texts.

    Args:
        model: The model.
        method: ``gradient`` or ``rollout``.
        head: Name of the head; None for the only one.
        batch: Inputs to explain, if there are any yet.

    Raises:
        ConfigError: If its texts cannot be explained by this method.
    """
    if method not in METHODS:
        raise ConfigError(f"explain: unknown method {method!r}; {suggest(method, METHODS, True)}")
    heads = {n: h for n, h in model.head.items() if isinstance(h, CaptioningHead)}
    if head is None and len(heads) > 1:
        raise ConfigError(f"explain: several heads generate texts; choose from {', '.join(heads)}")
    chosen = next(iter(heads), None) if head is None else head
    if not heads:
        raise ConfigError(f"explain: the model generates no texts (heads: {', '.join(model.head)})")
    if chosen not in heads:
        raise ConfigError(f"explain: unknown head {chosen!r}; {suggest(str(chosen), heads, True)}")
    if faults := limits(model, heads[chosen], method, batch):
        raise ConfigError(*(f"explain={method}: {fault}" for fault in faults))
    return heads[chosen]


def limits(
    model: MultimodalModel, head: CaptioningHead, method: str, batch: Batch | None
) -> list[str]:
    """Return why the texts of a head cannot be explained."""
    if head.decoder.reads_raw:
        return ["not available for published vision-language models (vlm); remove explain"]
    names = [n for n in MAPPED if n in model.encoder and n in read_by(model, head)]
    vectors = [n for n in names if model.encoder[n].reads_features]
    if not names or len(vectors) == len(names):
        have = ", ".join(f"encoder/{n}=precomputed" for n in vectors) or "text only"
        return [f"the model reads no pictures, video or audio ({have}); remove explain"]
    if batch is not None and any(batch.inputs[n].encoded for n in names):
        return ["the batch has cached features, which have no places in the input"]
    if method == "rollout" and FUSED in head.streams and isinstance(model.fusion, PooledFusion):
        kind = type(model.fusion).__name__
        return [f"{kind} pools each modality to one vector without attention; use explain=gradient"]
    return []


def read_by(model: MultimodalModel, head: CaptioningHead) -> set[str]:
    """Return the modalities that a head reads."""
    return {*model.encoder} if FUSED in head.streams else {*head.streams}
