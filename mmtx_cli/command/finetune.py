"""``mmtx finetune``: train a task head, from scratch or from a trained model."""

from omegaconf import DictConfig

from mmtx_cli.runs import resolve


def run(cfg: DictConfig) -> None:
    """Fine-tune."""
    resolve.run(cfg)
