"""One run folder for every process of a job, and the command line that starts them."""

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.conf_tree import split
from mmtx_cli.config.overrides import parsed
from mmtx_cli.distributed.ranks import finished
from mmtx_cli.distributed.signals import SIGNALS
from mmtx_cli.errors import ConfigError, Interrupted, RunError
from mmtx_cli.io.quoting import quoted

MAX_NAME, MAX_PATH = 255, 4000
"""Bytes of a folder's name, and of a path with some left for the files in it."""
ALONE = {"devices": "1", "num_nodes": "1", "strategy": "auto"}
"""The settings of ``trainer`` with which one process does all."""


def job_run_dir(cfg: DictConfig, args: Sequence[str]) -> None:
    """Fix ``run_dir``: absolute, and a folder of its own for each job of a multirun."""
    from hydra.core.hydra_config import HydraConfig

    if "run_dir" not in cfg:
        return
    hydra = HydraConfig.get()
    run_dir = os.path.abspath(os.path.expanduser(str(cfg.run_dir)))
    if is_multirun():
        swept = {key(arg) for arg in split(args)[1] if parsed(arg).is_sweep_override()}
        words = [o.lstrip("+") for o in job_overrides() if key(o) in swept]
        # no comma and no "=": the path can be given to ckpt= as it is
        name = "_".join(re.sub(r"[^\w.+]+", "-", word) for word in (str(hydra.job.num), *words))
        run_dir = os.path.join(run_dir, name.encode()[:150].decode(errors="ignore"))
    check_length(run_dir)
    cfg.run_dir = run_dir


def check_length(run_dir: str) -> None:
    """Refuse a path that no usual file system takes, before anything is made for it."""
    name = max(run_dir.split(os.sep), key=lambda part: len(os.fsencode(part)))
    for what, text, most in (("the name", name, MAX_NAME), ("the path", run_dir, MAX_PATH)):
        if (size := len(os.fsencode(text))) > most:
            raise ConfigError(
                f"run_dir: {what} {text[:30]}… has {size} bytes; file systems take at most {most}; "
                "write a shorter one"
            )


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


def check_multirun(options: Sequence[str]) -> None:
    """Refuse a sweep in processes that another program started together: each would run it."""
    world = os.environ.get("WORLD_SIZE", "1")
    if {"-m", "--multirun"} & {*options} and world.isdecimal() and int(world) > 1:
        raise ConfigError(
            f"-m: this is one of WORLD_SIZE={world} processes that a launcher has started; start "
            "mmtx by itself, and it starts those of each run (trainer.devices), or launch the "
            "runs one by one"
        )


def needs_own_process(cfg: DictConfig) -> bool:
    """Has a job processes that share its work, or may it have? Their group ends with its process.

    How many a resumed run has, only its own configuration says.
    """
    trainer: Any = cfg.get("trainer") if OmegaConf.is_dict(cfg.get("trainer")) else {}
    given = {key: str(trainer.get(key) or usual) for key, usual in ALONE.items()}
    return bool(cfg.get("resume")) or given != ALONE


def run_job(program: str, argv: Sequence[str], name: str) -> list[str]:
    """Run a job in a process of its own; gives what is to be told at the end of all jobs.

    Raises:
        RunError: if it failed.
        Interrupted: if it was stopped.
    """
    import __main__

    spec = __main__.__spec__  # as this process was started
    command = [os.path.abspath(program)] if spec is None else ["-m", spec.name]
    status = finished([sys.executable, *command, *argv])
    if status > 128 and status - 128 in SIGNALS:
        said = f"stopped by signal {status - 128} in {name}; no further run was begun"
        raise Interrupted(status - 128, said)
    if status not in (0, 2):
        raise RunError(f"{name}: failed with status {status}; what it said is above")
    return [f"{name}: refused; what it said is above"] if status else []


def key(override: str) -> str:
    """The config path that an override names."""
    return override.lstrip("+~").partition("=")[0]
