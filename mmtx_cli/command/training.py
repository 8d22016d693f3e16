"""What ``mmtx pretrain`` and ``mmtx finetune`` have in common."""

from omegaconf import DictConfig

from mmtx_cli.planning.run import plan_run
from mmtx_cli.runs.plan_key import take_plan
from mmtx_cli.runs.resolve import train_config
from mmtx_cli.runs.run_dir import check_not_trained
from mmtx_cli.training.run import train


def run_training(cfg: DictConfig) -> None:
    """Train a model, or plan the run."""
    only_plan = take_plan(cfg)
    run = train_config(cfg)
    check_not_trained(run.plain)
    if only_plan:
        plan_run(run)
        return
    train(run)
