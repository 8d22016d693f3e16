"""``mmtx pretrain``: train with pre-training objectives."""

from omegaconf import DictConfig

from mmtx_cli.runs.resolve import train_config
from mmtx_cli.training.run import train


def run(cfg: DictConfig) -> None:
    """Pre-train a model."""
    train(train_config(cfg))
