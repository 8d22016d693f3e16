"""One run folder for every process of a job, and the command line that starts them."""

import os
import re

from omegaconf import DictConfig


def job_run_dir(cfg: DictConfig) -> None:
    """Fix ``run_dir``: absolute, and a folder of its own for each job of a multirun."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    if "run_dir" not in cfg:
        return
    hydra = HydraConfig.get()
    run_dir = os.path.abspath(os.path.expanduser(str(cfg.run_dir)))
    if hydra.mode == RunMode.MULTIRUN:
        words = [o for o in hydra.overrides.task if not o.startswith(("run_dir=", "++run_dir="))]
        name = re.sub(r"[^\w.=,+-]+", "_", ",".join(w.lstrip("+") for w in words))
        run_dir = os.path.join(run_dir, f"{hydra.job.num}_{name}"[:150])
    cfg.run_dir = run_dir


def job_argv(args: list[str], cfg: DictConfig) -> list[str]:
    """Arguments that run this job alone, in this run folder."""
    from hydra.core.hydra_config import HydraConfig

    kept = [o for o in HydraConfig.get().overrides.task if not o.startswith("run_dir=")]
    if "run_dir" in cfg:
        kept.append(f"run_dir='{cfg.run_dir}'")
    return [*flags(args), *kept]


def flags(args: list[str]) -> list[str]:
    """Hydra's options among the arguments, without the one that asks for a multirun."""
    found, take_next = [], False
    for arg in args:
        if take_next or (arg.startswith("-") and arg not in ("-m", "--multirun")):
            found.append(arg)
            take_next = not take_next and arg in ("--config-dir", "-cd", "--config-path", "-cp")
    return found
