"""``mmtx eval``: metrics with confidence intervals, predictions for every id, and a report."""

from pathlib import Path

from omegaconf import DictConfig

from mmtx_cli.data.manifest.table_file import check_exists
from mmtx_cli.errors import ConfigError
from mmtx_cli.evaluation.run import evaluate
from mmtx_cli.planning.batch_size import find_size
from mmtx_cli.planning.memory import process_age
from mmtx_cli.planning.run import plan_run
from mmtx_cli.planning.suggest_batch import suggesting_batch_size
from mmtx_cli.runs.before_run import set_size, take_auto, take_plan
from mmtx_cli.runs.cached_features.feature_cache import cache_faults
from mmtx_cli.runs.check import manifests
from mmtx_cli.runs.inherit import check_heads_eval_only, inherit, inherit_data
from mmtx_cli.runs.resolve import checked_config
from mmtx_cli.runs.run_config import EvalConfig
from mmtx_cli.runs.vlm import stored_model


def run(cfg: DictConfig) -> None:
    """Evaluate a trained model on a split."""
    if not cfg.ckpt and not cfg.get("vlm"):
        raise ConfigError("ckpt: required; set ckpt=RUN (a run folder, .ckpt or model folder)")
    only_plan, automatic = take_plan(cfg), take_auto(cfg, trains=False)
    stored = stored_model(cfg)
    check_heads_eval_only(cfg)
    inherit(cfg, stored)
    inherit_data(cfg, stored)
    settings = checked_config(EvalConfig, cfg, stored)
    for path in manifests(settings.plain["data"]):
        check_exists(Path(path))  # fail before torch is imported
    if faults := list(cache_faults(settings.plain)):
        raise ConfigError(*faults)
    before = process_age()
    if automatic:
        set_size(cfg, False, find_size(settings))
        settings = checked_config(EvalConfig, cfg, stored)
    if only_plan:
        plan_run(settings, before)
        return
    with suggesting_batch_size(settings):
        evaluate(settings)
