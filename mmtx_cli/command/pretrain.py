"""``mmtx pretrain``: train with pre-training objectives."""

from omegaconf import DictConfig

from mmtx_cli.training import run as training


def run(cfg: DictConfig) -> None:
    """Pre-train a model."""
    training.run(cfg)
