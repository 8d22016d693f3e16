"""``mmtx finetune``: train a task head, from scratch or from a trained model."""

from omegaconf import DictConfig

from mmtx_cli.training import run as training


def run(cfg: DictConfig) -> None:
    """Fine-tune a model."""
    training.run(cfg)
