"""Run folder and command line of a Hydra job, shared by all of its processes."""

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.conf_tree import split_args
from mmtx_cli.config.overrides import parse_override
from mmtx_cli.distributed.ranks import finished
from mmtx_cli.distributed.signals import SIGNALS
from mmtx_cli.errors import ConfigError, Interrupted, RunError
from mmtx_cli.io.quoting import quoted

MAX_NAME, MAX_PATH = 255, 4000
"""Maximum bytes of a folder name, and of a path, which leaves room for the files in it."""
SINGLE_PROCESS = {"devices": "1", "num_nodes": "1", "strategy": "auto"}
"""Values of ``trainer`` settings for a single process."""


def job_run_dir(cfg: DictConfig, args: Sequence[str]) -> None:
    """Make ``run_dir`` absolute, with a separate subfolder for each job of a multirun."""
    from hydra.core.hydra_config import HydraConfig

    if "run_dir" not in cfg:
        return
    hydra = HydraConfig.get()
    run_dir = os.path.abspath(os.path.expanduser(str(cfg.run_dir)))
    if is_multirun():
        swept = {key(arg) for arg in split_args(args)[1] if parse_override(arg).is_sweep_override()}
        words = [o.lstrip("+") for o in job_overrides() if key(o) in swept]
        # no comma or "=", so that the path needs no quoting in ckpt=
        name = "_".join(re.sub(r"[^\w.+]+", "-", word) for word in (str(hydra.job.num), *words))
        run_dir = os.path.join(run_dir, name.encode()[:150].decode(errors="ignore"))
    check_length(run_dir)
    cfg.run_dir = run_dir


def check_length(run_dir: str) -> None:
    """Raise ConfigError if the path is too long for common file systems."""
    name = max(run_dir.split(os.sep), key=lambda part: len(os.fsencode(part)))
    for what, text, limit in (("the name", name, MAX_NAME), ("the path", run_dir, MAX_PATH)):
        if (size := len(os.fsencode(text))) > limit:
            raise ConfigError(
                f"run_dir: {what} {text[:30]}… has {size} bytes; file systems allow at most "
                f"{limit}; use a shorter one"
            )


def is_multirun() -> bool:
    """Return True if this is one job of a multirun."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    return bool(HydraConfig.get().mode == RunMode.MULTIRUN)


def job_argv(args: Sequence[str], cfg: DictConfig) -> list[str]:
    """Return the arguments that run only this job, in this run folder."""
    options = [arg for arg in split_args(args)[0] if arg not in ("-m", "--multirun")]
    kept = [o for o in job_overrides() if key(o) != "run_dir"]
    if "run_dir" in cfg:
        kept.append(f"run_dir={quoted(cfg.run_dir)}")
    return [*options, *kept]


def job_overrides() -> list[str]:
    """Return the overrides of this job as written: resolved interpolations may contain secrets."""
    from hydra.core.hydra_config import HydraConfig

    return OmegaConf.to_container(HydraConfig.get().overrides.task)  # type: ignore[return-value]


def check_multirun(options: Sequence[str]) -> None:
    """Raise ConfigError for a multirun in externally launched processes: each would run it."""
    world = os.environ.get("WORLD_SIZE", "1")
    if {"-m", "--multirun"} & {*options} and world.isdecimal() and int(world) > 1:
        raise ConfigError(
            f"-m: not supported under an external launcher (WORLD_SIZE={world}); start mmtx "
            "directly, which starts the processes of each run (trainer.devices), or launch the "
            "runs one by one"
        )


def needs_own_process(cfg: DictConfig) -> bool:
    """Return True if a job may use several processes: their process group ends with its process.

    This includes resumed runs, where only the saved configuration has the number of processes.
    """
    trainer: Any = cfg.get("trainer") if OmegaConf.is_dict(cfg.get("trainer")) else {}
    requested = {key: str(trainer.get(key) or default) for key, default in SINGLE_PROCESS.items()}
    return bool(cfg.get("resume")) or requested != SINGLE_PROCESS


def run_job(program: str, argv: Sequence[str], name: str) -> list[str]:
    """Run a job in its own process; return a message for the end if its input was rejected.

    Raises:
        RunError: if it failed.
        Interrupted: if it was stopped.
    """
    import __main__

    spec = __main__.__spec__  # start it as this process was started
    command = [os.path.abspath(program)] if spec is None else ["-m", spec.name]
    status = finished([sys.executable, *command, *argv])
    if status > 128 and status - 128 in SIGNALS:
        message = f"stopped by signal {status - 128} in {name}; no further runs were started"
        raise Interrupted(status - 128, message)
    if status not in (0, 2):
        raise RunError(f"{name}: failed with status {status}; see its output above")
    return [f"{name}: rejected; see its output above"] if status else []


def key(override: str) -> str:
    """Return the config path of an override."""
    return override.lstrip("+~").partition("=")[0]
