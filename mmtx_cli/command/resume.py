"""Going on with a run that was stopped: its own configuration rules."""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.error import CheckpointError, ConfigError
from mmtx_cli.override import is_section_key
from mmtx_cli.weights import read_config

FREE = ("trainer", "logger", "run_dir", "resume", "data.num_workers", "trusted_packages")
"""What may differ: how the run is carried out, not what it computes."""


def resumed(cfg: DictConfig) -> tuple[DictConfig, dict[str, Any]]:
    """The saved configuration of ``run_dir`` with what may differ taken from the command line.

    With it comes the config in the checkpoint, tokenizer included.

    Anything else on the command line must say what the saved configuration says.
    """
    run_dir = Path(cfg.run_dir)
    last, saved_path = run_dir / "checkpoints" / "last.ckpt", run_dir / "config.yaml"
    if not last.is_file() or not saved_path.is_file():
        raise CheckpointError(
            f"run_dir={run_dir}: there is no checkpoints/last.ckpt to resume from; name the "
            "folder of the run to go on with: resume=true run_dir=RUN"
        )
    saved = OmegaConf.load(saved_path)
    assert isinstance(saved, DictConfig)
    faults = []
    for key in overridden():
        given, kept = OmegaConf.select(cfg, key), OmegaConf.select(saved, key)
        if key.split(".")[0] in FREE or key in FREE:
            OmegaConf.update(saved, key, given)
        elif plain(given) != plain(kept):
            faults.append(
                f"{key}: the run in {run_dir} has {kept!r}, not {given!r}; to resume, leave it "
                "out; to change it, start a new run with ckpt="
            )
    if faults:
        raise ConfigError(*faults)
    saved.run_dir, saved.resume = cfg.run_dir, True
    return saved, read_config(str(last))


def overridden() -> list[str]:
    """Config paths that the command line names."""
    from hydra.core.hydra_config import HydraConfig

    keys = []
    for override in HydraConfig.get().overrides.task:
        key = override.lstrip("+~").partition("=")[0]
        plain_key = key.replace("/", ".")
        is_choice = not is_section_key(override) and plain_key.split(".")[0] in (
            "head",
            "experiment",
        )
        if not is_choice:
            keys.append(plain_key)
    return keys


def plain(value: object) -> object:
    """A node as plain data, resolved."""
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
