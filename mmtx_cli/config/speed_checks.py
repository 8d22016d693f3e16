"""Validate settings of speed and of batches that contradict each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from mmtx_cli.config.constraints import entries, select
from mmtx_cli.config.cross_checks import TRAINING, class_attribute


def speed_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors of ``trainer.compile``, the loader, token budgets and patches."""
    how = select(cfg, "trainer.compile")
    if isinstance(how, str) and how != "blocks":
        yield f"trainer.compile: {how!r} is invalid; must be true, false or blocks"
    yield from naflex_faults(cfg)
    if cfg.get("command") in TRAINING:
        yield from loader_faults(cfg)
        yield from budget_faults(cfg)


def loader_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors of the settings of the loader that have no effect together."""
    pinned, workers = select(cfg, "data.pin_memory"), select(cfg, "data.num_workers")
    if select(cfg, "data.prefetch") and pinned is False:
        yield (
            "data.prefetch: copies run beside the computation only from page-locked memory; "
            "remove data.pin_memory=false"
        )
    if pinned and select(cfg, "trainer.accelerator") == "cpu":
        yield "data.pin_memory: only a GPU has use for it; remove it, or trainer.accelerator=cpu"
    if select(cfg, "data.persistent_workers") and workers == 0:
        yield "data.persistent_workers: there are none with data.num_workers=0; remove one of them"


def budget_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors of ``data.token_budget``."""
    if select(cfg, "data.token_budget") is None:
        if (select(cfg, "data.batch_multiple") or 1) != 1:
            yield "data.batch_multiple: only for data.token_budget; set that too, or remove it"
        return
    if select(cfg, "data.mixture"):
        yield "data.token_budget: not available for data.mixture; use data.batch_size"
    if select(cfg, "data.order") == "shards":
        yield (
            "data.token_budget: not available for data.order=shards, since a batch has samples of "
            "similar length from the whole data set; remove one of them"
        )
    if (select(cfg, "data.captions_per_sample") or 1) != 1:
        yield (
            "data.token_budget: counts one caption per sample; remove data.captions_per_sample, "
            "or use data.batch_size"
        )


def naflex_faults(cfg: Mapping[str, Any]) -> Iterator[str]:
    """Yield errors of ``data.resize_mode=naflex`` and of the encoder that needs it."""
    is_naflex = select(cfg, "data.resize_mode") == "naflex"
    encoders = {str(name): node for name, node in entries(cfg, "encoder") if node}
    if not is_naflex:
        if class_attribute(encoders.get("image"), "reads_patches"):
            yield "encoder.image: reads images of any aspect ratio; set data.resize_mode=naflex"
        return
    for name in ("image", "video"):
        node = encoders.get(name)
        if not node or class_attribute(node, "reads_features"):
            continue
        if name == "video":
            yield (
                "data.resize_mode=naflex: encoder.video reads square frames; set another "
                "resize_mode, or remove the encoder: encoder.video=null"
            )
        elif not class_attribute(node, "reads_patches"):
            yield (
                "data.resize_mode=naflex: encoder.image reads square images; set "
                "encoder/image=naflex_vit, or another resize_mode"
            )
    if (select(cfg, "data.augment.scale") or [1.0, 1.0]) != [1.0, 1.0]:
        yield (
            "data.augment.scale: random crops are square, and resize_mode=naflex keeps the aspect "
            "ratio; remove it"
        )
    if cfg.get("explain"):
        yield "explain: not available for data.resize_mode=naflex; remove it"
