"""``mmtx predict``: predictions of every head for new files, or for the rows of a manifest."""

from collections.abc import Iterator
from pathlib import Path

from omegaconf import DictConfig

from mmtx_cli.data.manifest.table_file import check_exists
from mmtx_cli.errors import ConfigError
from mmtx_cli.inference.candidate_texts import ALL_TEST, candidate_texts
from mmtx_cli.inference.inputs import as_text, each_input, input_files
from mmtx_cli.inference.predict_inputs import predict
from mmtx_cli.io.quoting import argument
from mmtx_cli.io.table_suffixes import SUFFIXES as TABLES
from mmtx_cli.media.suffixes import SUFFIXES as MEDIA
from mmtx_cli.runs.inherit import inherit
from mmtx_cli.runs.resolve import checked_config
from mmtx_cli.runs.run_config import PredictConfig
from mmtx_cli.runs.vlm import stored_model


def run(cfg: DictConfig) -> None:
    """Predict for the inputs or rows in their order."""
    cfg.text = as_text(cfg.text)
    if faults := list(source_faults(cfg)):
        raise ConfigError(*faults)
    paths = input_files(cfg.inputs) if cfg.inputs else []
    stored = stored_model(cfg)
    inherit(cfg, stored)
    if cfg.data.get("path") and not cfg.split and cfg.data.get("split") is None:
        cfg.data.split = dict(ALL_TEST)  # use all rows, with any split or none
    settings = checked_config(PredictConfig, cfg, stored)
    if settings.data.path:
        check_exists(Path(settings.data.path))
    texts = candidate_texts(cfg.texts, settings.data.text or "text") if cfg.texts else []
    predict(settings, paths, texts)


def source_faults(cfg: DictConfig) -> Iterator[str]:
    """Yield errors in the choice of model and inputs, before either is read."""
    data = cfg.get("data") or {}
    path, inputs = data.get("path"), cfg.inputs not in (None, "", [])
    if not cfg.ckpt and not cfg.get("vlm"):
        yield "ckpt: required; set ckpt=RUN (a run folder, .ckpt or model folder)"
    if data.get("mixture"):
        yield "data.mixture: mmtx predict reads only one manifest; set data.path=MANIFEST.jsonl"
    elif inputs and path:
        yield "inputs: cannot be combined with data.path; set only one of them"
    elif not inputs and not path and not cfg.text:
        yield (
            "inputs: required; set inputs=FILE, inputs=FOLDER or inputs='*.mp4', or "
            "data.path=MANIFEST.jsonl"
        )
    elif cfg.segment_seconds and not inputs and not path:
        yield "segment_seconds: requires inputs; a text alone has no segments; remove it"
    for text in each_input(cfg.inputs):
        if Path(text).suffix.lower() in TABLES:
            yield f"inputs: {text} is a manifest; use {argument('data.path', text)}"
    if path and not inputs:
        if is_media(Path(path).expanduser()):
            yield f"data.path: {path} is not a manifest; use {argument('inputs', path)}"
        for key in ("text", "segment_seconds"):
            if cfg[key]:
                yield f"{key}: requires inputs; rows of data.path have their own; remove it"
    elif cfg.split:
        yield "split: requires data.path; inputs have no split; remove it"


def is_media(path: Path) -> bool:
    """Return True for an image, video or audio suffix, or a folder without a table of samples."""
    if path.is_dir():
        return not any(inside.suffix.lower() in TABLES for inside in path.iterdir())
    return any(path.suffix.lower() in suffixes for suffixes in MEDIA.values())
