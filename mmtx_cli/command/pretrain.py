"""``mmtx pretrain``: train with pre-training objectives."""

from omegaconf import DictConfig

from mmtx_cli.command import train


def run(cfg: DictConfig) -> None:
    """Pre-train."""
    train.run(cfg)
