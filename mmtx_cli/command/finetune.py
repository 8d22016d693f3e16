"""``mmtx finetune``: train a task head, from scratch or from a trained model."""

from omegaconf import DictConfig

from mmtx_cli.runs.resolve import train_config
from mmtx_cli.training.run import train


def run(cfg: DictConfig) -> None:
    """Fine-tune a model."""
    train(train_config(cfg))
