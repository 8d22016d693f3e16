"""``mmtx pretrain``: train with pre-training objectives."""

from omegaconf import DictConfig

from mmtx_cli.command.training import run_training


def run(cfg: DictConfig) -> None:
    """Pre-train a model."""
    run_training(cfg)
