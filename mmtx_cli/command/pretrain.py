"""``mmtx pretrain``: train with pre-training objectives."""

from omegaconf import DictConfig

from mmtx_cli.runs import resolve


def run(cfg: DictConfig) -> None:
    """Pre-train."""
    resolve.run(cfg)
