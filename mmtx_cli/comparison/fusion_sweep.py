"""Sweep that trains every fusion with every seed, for a comparison."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtx_cli.config.composition.compose import compose_command
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.quoting import quoted


@dataclass(frozen=True)
class FusionSweep:
    """The runs of a sweep: every fusion with every seed.

    Args:
        fusions: The fusions.
        seeds: The seeds.
        args: Arguments that all runs have in common.
        jobs: Number of runs to train in parallel.
        trusted: Packages that they trust.
    """

    fusions: tuple[str, ...]
    seeds: tuple[int, ...]
    args: tuple[str, ...]
    jobs: int
    trusted: tuple[str, ...]


def run_sweep(sweep: FusionSweep, run_dir: Path) -> list[Path]:
    """Train every fusion with every seed and return the run folders.

    Runs that an earlier attempt has finished are reused. Each run is a separate process, so that it
    has its own memory and cannot take this process down.
    """
    from mmtx_cli.comparison.scheduler import Run, run_all

    names = sweep.fusions
    folder_of = {(n, s): run_dir / "runs" / f"{n}-{s}" for s in sweep.seeds for n in names}
    pending = {run: path for run, path in folder_of.items() if not (path / "result.json").is_file()}
    check_runs(sweep, list(dict.fromkeys(name for name, _ in pending)))
    trusted = [f"trusted_packages=[{','.join(sweep.trusted)}]"] * bool(sweep.trusted)
    runs = []
    for (name, seed), folder in pending.items():
        settings = [f"fusion={name}", f"seed={seed}", f"run_dir={quoted(folder)}", *trusted]
        if (folder / "checkpoints" / "last.ckpt").exists():
            settings.append("resume=true")
        command = [sys.executable, "-m", "mmtx_cli", "finetune", *sweep.args, *settings]
        folder.parent.mkdir(exist_ok=True)
        runs.append(Run(f"fusion={name} seed={seed}", command, folder.with_suffix(".log")))
    run_all(runs, sweep.jobs)
    return [folder_of[name, seed] for name in names for seed in sweep.seeds]


def check_runs(sweep: FusionSweep, names: Sequence[str]) -> None:
    """Raise ConfigError if the settings of any run are invalid, before the first one starts."""
    from mmtx_cli.runs.resolve import train_config

    faults = []
    for name in names:
        run_cfg = compose_command("finetune", [*sweep.args, f"fusion={name}"], sweep.trusted)
        try:
            train_config(run_cfg)
        except ConfigError as error:
            faults += [f"train_args, with fusion={name}: {fault}" for fault in error.faults]
    if faults:
        raise ConfigError(*faults)
