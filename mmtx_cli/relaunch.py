"""One run folder for every process of a job, and the command line that starts them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.argument import quoted
from mmtx_cli.override import parsed, split


def job_run_dir(cfg: DictConfig, args: Sequence[str]) -> None:
    """Fix ``run_dir``: absolute, and a folder of its own for each job of a multirun."""
    from hydra.core.hydra_config import HydraConfig

    if "run_dir" not in cfg:
        return
    hydra = HydraConfig.get()
    run_dir = os.path.abspath(os.path.expanduser(str(cfg.run_dir)))
    if is_multirun():
        # Hydra's record of the sweep holds the command line as it was typed, secrets and all
        (Path(run_dir) / "multirun.yaml").unlink(missing_ok=True)
        swept = {key(arg) for arg in split(args)[1] if parsed(arg).is_sweep_override()}
        words = [o.lstrip("+") for o in job_overrides() if key(o) in swept]
        # no comma and no "=": the path can be given to ckpt= as it is
        name = "_".join(re.sub(r"[^\w.+]+", "-", word) for word in (str(hydra.job.num), *words))
        run_dir = os.path.join(run_dir, name[:150])
    cfg.run_dir = run_dir


def is_multirun() -> bool:
    """Is this one job of several?"""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def job_argv(args: Sequence[str], cfg: DictConfig) -> list[str]:
    """Arguments that run this job alone, in this run folder."""
    options = [arg for arg in split(args)[0] if arg not in ("-m", "--multirun")]
    kept = [o for o in job_overrides() if key(o) != "run_dir"]
    if "run_dir" in cfg:
        kept.append(f"run_dir={quoted(cfg.run_dir)}")
    return [*options, *kept]


def job_overrides() -> list[str]:
    """The overrides of this job as they were written: interpolations may hold secrets."""
    from hydra.core.hydra_config import HydraConfig

    return OmegaConf.to_container(HydraConfig.get().overrides.task)  # type: ignore[return-value]


def key(override: str) -> str:
    """The config path that an override names."""
    return override.lstrip("+~").partition("=")[0]
