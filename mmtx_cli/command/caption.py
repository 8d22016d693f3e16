"""``mmtx caption``: caption images, videos and audio files, or answer a question about each."""

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.validate import check
from mmtx_cli.errors import ConfigError
from mmtx_cli.inference.caption import caption
from mmtx_cli.inference.inputs import found, read_text
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.runs.inherit import inherit


def run(cfg: DictConfig) -> None:
    """Caption the inputs in their order."""
    examples = {
        "ckpt": "ckpt=RUN (a run folder, .ckpt or model folder)",
        "inputs": "inputs=FILE, inputs=FOLDER or inputs='*.mp4'",
    }
    missing = [key for key in examples if cfg[key] in (None, "", [])]
    if missing:
        raise ConfigError(*(f"{key}: required; set {examples[key]}" for key in missing))
    read_text(cfg)
    paths = found(cfg.inputs)
    stored = read_config(cfg.ckpt)
    inherit(cfg, stored)
    check(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    caption(cfg, stored, paths)
