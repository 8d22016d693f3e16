"""``mmtx finetune``: train a task head, from scratch or from a trained model."""

from omegaconf import DictConfig

from mmtx_cli.command.training import run_training


def run(cfg: DictConfig) -> None:
    """Fine-tune a model."""
    run_training(cfg)
