"""Scheduler that executes training runs in subprocesses, several at a time."""

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtx_cli.distributed.ranks import started
from mmtx_cli.distributed.signals import StopSignal
from mmtx_cli.errors import ConfigError, Interrupted
from mmtx_cli.io.atomic import appending

STOP_TIMEOUT = 60.0
"""Seconds that a run has to save a checkpoint after SIGTERM."""


@dataclass(frozen=True)
class Run:
    """A command, its name, and the log file for its output if runs execute in parallel."""

    name: str
    command: Sequence[str]
    log: Path


def run_all(runs: Sequence[Run], jobs: int) -> None:
    """Execute runs in order, ``jobs`` at a time, which share the cores and the GPUs.

    Raises:
        ConfigError: If a run fails; the others are stopped and save a checkpoint.
        Interrupted: If this process received a signal; the runs are stopped as well.
        KeyboardInterrupt: If a run was interrupted.
    """
    waiting, start_time = list(enumerate(runs)), time.monotonic()
    running: dict[int, tuple[Run, subprocess.Popen]] = {}
    with StopSignal(interrupted) as stop_signal:
        try:
            while waiting or running:
                for slot in range(jobs):
                    if waiting and slot not in running:
                        index, run = waiting.pop(0)
                        time_left = estimate(
                            start_time, index - len(running), len(runs) - index + len(running)
                        )
                        print(
                            f"run {index + 1} of {len(runs)}: {run.name}{time_left}",
                            file=sys.stderr,
                        )
                        running[slot] = run, start(run, slot, jobs)
                time.sleep(0.1)
                if stop_signal.number is not None:
                    raise interrupted(stop_signal.number)
                for slot, (run, process) in list(running.items()):
                    if (status := process.poll()) is not None:
                        del running[slot]
                        check(run, status, jobs)
        finally:
            stop([process for _, process in running.values()])


def interrupted(number: int) -> Interrupted:
    """Return the exception for a signal; its message explains how to resume."""
    return Interrupted(
        number, f"stopped by signal {number}; progress is saved; run the same command to resume"
    )


def estimate(start_time: float, done: int, left: int) -> str:
    """Return a note on the estimated remaining time; empty until a run has finished.

    Args:
        start_time: Start time (``time.monotonic``).
        done: Number of finished runs.
        left: Number of remaining runs.
    """
    if not done:
        return ""
    minutes = (time.monotonic() - start_time) / 60 / done * left
    return f" (about {minutes:.0f} min left)"


def start(run: Run, slot: int, jobs: int) -> subprocess.Popen:
    """Start a run with its share of the machine; parallel runs write to their log files."""
    if jobs == 1:
        return started(run.command, stdout=sys.stderr)
    env = {**os.environ, **share(slot, jobs, os.environ)}
    with appending(run.log, "ab") as log:  # the child process keeps its own handle
        return started(run.command, env=env, stdout=log, stderr=log)


def share(slot: int, jobs: int, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment variables that give a process its share of the cores, and one GPU."""
    import torch

    from mmtx_cli.io.cores import available_cores

    env = {"OMP_NUM_THREADS": str(max(1, available_cores() // jobs))}
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    devices = visible.split(",") if visible else [str(i) for i in range(torch.cuda.device_count())]
    if len(devices) > 1:
        env["CUDA_VISIBLE_DEVICES"] = devices[slot % len(devices)]
    return env


def check(run: Run, status: int, jobs: int) -> None:
    """Raise an exception if a run failed or was interrupted.

    Raises:
        ConfigError: If it failed.
        KeyboardInterrupt: If it was interrupted.
    """
    if status in (129, 130, 138, 143, -signal.SIGINT, -signal.SIGTERM):
        raise KeyboardInterrupt
    if status:
        where = f"in {run.log}" if jobs > 1 else "above"
        raise ConfigError(f"args: `{shlex.join(run.command[2:])}` failed; see its output {where}")


def stop(processes: Sequence[subprocess.Popen]) -> None:
    """Send SIGTERM to the processes, so that they save a checkpoint, and wait for them to exit.

    A process that takes longer than ``STOP_TIMEOUT`` is killed.
    """
    for process in processes:
        process.terminate()
    for process in processes:
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
