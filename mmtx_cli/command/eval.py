"""``mmtx eval``: metrics with confidence intervals, predictions for every id, and a report."""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.validate import check
from mmtx_cli.data.manifest.table_file import check_exists
from mmtx_cli.errors import ConfigError
from mmtx_cli.evaluation.run import check_heads_eval_only, evaluate
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.runs.feature_cache import cache_faults
from mmtx_cli.runs.inherit import inherit, inherit_data
from mmtx_cli.runs.resolve import manifests


def run(cfg: DictConfig) -> None:
    """Evaluate a trained model on a split."""
    if not cfg.ckpt:
        raise ConfigError("ckpt: required; set ckpt=RUN (a run folder, .ckpt or model folder)")
    stored = read_config(cfg.ckpt)
    check_heads_eval_only(cfg)
    inherit(cfg, stored)
    inherit_data(cfg, stored)
    check(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    for path in manifests(cfg.data):
        check_exists(Path(path))  # fail before torch is imported
    if faults := list(cache_faults(cfg)):
        raise ConfigError(*faults)
    evaluate(cfg, stored)
