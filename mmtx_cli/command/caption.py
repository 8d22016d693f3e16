"""``mmtx caption``: caption images, videos and audio files, or answer a question about each."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mmtx_cli.errors import ConfigError
from mmtx_cli.inference.caption import caption
from mmtx_cli.inference.inputs import as_text, input_files
from mmtx_cli.inference.sidecar import check_template, without_caption
from mmtx_cli.io.checkpoint import is_onnx_folder
from mmtx_cli.io.onnx_folder import read_onnx_config
from mmtx_cli.planning.batch_size import find_size
from mmtx_cli.planning.memory import process_age
from mmtx_cli.planning.run import plan_run
from mmtx_cli.planning.suggest_batch import suggesting_batch_size
from mmtx_cli.runs.before_run import set_size, take_auto, take_plan
from mmtx_cli.runs.inherit import inherit
from mmtx_cli.runs.resolve import checked_config
from mmtx_cli.runs.run_config import CaptionConfig
from mmtx_cli.runs.vlm import stored_model


def run(cfg: DictConfig) -> None:
    """Caption the inputs in their order."""
    examples = {
        "ckpt": "ckpt=RUN (a run folder, .ckpt or model folder)",
        "inputs": "inputs=FILE, inputs=FOLDER or inputs='*.mp4'",
    }
    missing = [key for key in examples if cfg[key] in (None, "", [])]
    if cfg.get("vlm"):
        missing = [key for key in missing if key != "ckpt"]
    if missing:
        raise ConfigError(*(f"{key}: required; set {examples[key]}" for key in missing))
    only_plan, automatic = take_plan(cfg), take_auto(cfg, trains=False)
    cfg.text = as_text(cfg.text)
    if cfg.sidecar and cfg.segment_seconds:
        raise ConfigError("sidecar: a file has one caption; remove sidecar or segment_seconds")
    paths = input_files(cfg.inputs, cfg.sidecar)
    stored = model_config(cfg)
    inherit(cfg, stored)
    settings = checked_config(CaptionConfig, cfg, stored)
    before = process_age()
    wanted = wanted_paths(settings, paths)
    if automatic and wanted:
        set_size(cfg, False, find_size(settings, wanted))
        settings = checked_config(CaptionConfig, cfg, stored)
    if only_plan:
        if not wanted:
            raise ConfigError(f"plan: all {len(paths)} inputs have a caption; nothing is left")
        plan_run(settings, before, wanted)
        return
    with suggesting_batch_size(settings, wanted):
        caption(settings, paths)


def wanted_paths(run: CaptionConfig, paths: Sequence[str]) -> Sequence[str]:
    """Return the inputs that are to be captioned: with ``sidecar``, those without a caption."""
    check_template(run.template)
    return without_caption(paths, run.sidecar, run.overwrite) if run.sidecar else paths


def model_config(cfg: DictConfig) -> Mapping[str, Any]:
    """Return the config of the model, which may be a folder of ONNX graphs."""
    folder = Path(str(cfg.ckpt)).expanduser()
    if cfg.ckpt and not cfg.get("vlm") and is_onnx_folder(folder):
        return read_onnx_config(folder)
    return stored_model(cfg)
