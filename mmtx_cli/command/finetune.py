"""``mmtx finetune``: train a task head, from scratch or from a trained model."""

from omegaconf import DictConfig

from mmtx_cli.command import train


def run(cfg: DictConfig) -> None:
    """Fine-tune."""
    train.run(cfg)
