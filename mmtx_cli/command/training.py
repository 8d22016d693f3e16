"""What ``mmtx pretrain`` and ``mmtx finetune`` have in common."""

from copy import deepcopy

from omegaconf import DictConfig

from mmtx_cli.planning.batch_size import find_size
from mmtx_cli.planning.memory import process_age
from mmtx_cli.planning.run import plan_run
from mmtx_cli.planning.suggest_batch import suggesting_batch_size
from mmtx_cli.runs.before_run import set_size, take_auto, take_plan
from mmtx_cli.runs.resolve import train_config
from mmtx_cli.runs.run_dir import check_not_trained
from mmtx_cli.training.run import train


def run_training(cfg: DictConfig) -> None:
    """Train a model, or plan the run."""
    only_plan, before = take_plan(cfg), process_age()
    if take_auto(cfg, trains=True):
        run = train_config(deepcopy(cfg))
        check_not_trained(run.plain)
        set_size(cfg, True, find_size(run))
    run = train_config(cfg)
    if only_plan:
        check_not_trained(run.plain)
        plan_run(run, before)
        return
    with suggesting_batch_size(run):
        train(run)
