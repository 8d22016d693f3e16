"""Sweep that trains every fusion with every seed, for a comparison."""

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.conf_tree import choices
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.quoting import quoted


def swept(cfg: DictConfig, run_dir: Path) -> list[Path]:
    """Train every fusion with every seed and return the run folders.

    Runs that an earlier attempt has finished are reused. Each run is a separate process, so that it
    has its own memory and cannot take this process down.
    """
    from mmtx_cli.comparison.scheduler import Run, run_all

    names = list(cfg.fusions or choices("fusion"))
    folder_of = {(n, s): run_dir / "runs" / f"{n}-{s}" for s in cfg.seeds for n in names}
    todo = {run: path for run, path in folder_of.items() if not (path / "result.json").is_file()}
    check_runs(cfg, list(dict.fromkeys(name for name, _ in todo)))
    trusted = [f"trusted_packages=[{','.join(cfg.trusted_packages)}]"] * bool(cfg.trusted_packages)
    runs = []
    for (name, seed), folder in todo.items():
        settings = [f"fusion={name}", f"seed={seed}", f"run_dir={quoted(folder)}", *trusted]
        if (folder / "checkpoints" / "last.ckpt").is_file():
            settings.append("resume=true")
        command = [sys.executable, "-m", "mmtx_cli", "finetune", *cfg.train_args, *settings]
        folder.parent.mkdir(exist_ok=True)
        runs.append(Run(f"fusion={name} seed={seed}", command, folder.with_suffix(".log")))
    run_all(runs, cfg.jobs)
    return [folder_of[name, seed] for name in names for seed in cfg.seeds]


def check_runs(cfg: DictConfig, names: Sequence[str]) -> None:
    """Raise ConfigError if the settings of any run are invalid, before the first one starts."""
    from hydra import compose

    from mmtx_cli.config.overrides import opened
    from mmtx_cli.runs import resolve

    faults = []
    for name in names:
        own = compose("finetune", opened([*cfg.train_args, f"fusion={name}"]))
        OmegaConf.set_struct(own, False)
        own.trusted_packages = cfg.trusted_packages
        try:
            resolve.prepared(own)
        except ConfigError as error:
            faults += [f"train_args, with fusion={name}: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(*faults)
