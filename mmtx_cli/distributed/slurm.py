"""SLURM jobs: how their processes were started, and putting them back in the queue.

Imports nothing heavy.
"""

import os
import signal
import subprocess
from typing import Any

from mmtx_cli.errors import ConfigError

REQUEUE_SIGNALS = [
    getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2") if hasattr(signal, name)
]
"""Signals that a job receives before its time is over (``sbatch --signal``)."""
PATIENCE = 60.0
"""Seconds that ``scontrol`` may take."""


def job_id() -> str | None:
    """Return the id of this job, or of this task of a job array, as ``scontrol`` takes it."""
    array, task = (os.environ.get(f"SLURM_ARRAY_{name}_ID") for name in ("JOB", "TASK"))
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def started_by_srun() -> bool:
    """Return True if ``srun`` has started this process, and thus all others as well."""
    return "SLURM_JOB_ID" in os.environ and "SLURM_STEP_ID" in os.environ


def is_launched_elastically() -> bool:
    """Return True if ``torchrun`` has started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def environments() -> list[Any]:
    """Return Lightning's plugin for a SLURM job; empty if Lightning finds the right one itself.

    Lightning takes every job for one of ``srun``, and would requeue it in its own way.

    Raises:
        ConfigError: if the job does not set the number of tasks of each node.
    """
    if "SLURM_JOB_ID" not in os.environ or is_launched_elastically():
        return []
    from mmtx_cli.distributed.lightning import LightningEnvironment, SLURMEnvironment

    if not started_by_srun():
        return [LightningEnvironment()]
    if external_world() > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise ConfigError(
            f"SLURM: {external_world()} tasks, but not how many on each node; set "
            "--ntasks-per-node=N, the value of trainer.devices, instead of --ntasks"
        )
    return [SLURMEnvironment(auto_requeue=False)]


def external_world() -> int:
    """Return the number of processes that ``torchrun`` or ``srun`` has started; 1 without them."""
    if started_by_srun() and not is_launched_elastically():
        return int(os.environ.get("SLURM_NTASKS", "1"))
    return int(os.environ.get("WORLD_SIZE", "1"))


def requeue(number: int) -> str:
    """Put this job back in the queue after a signal of the scheduler; return what happened.

    Empty outside of a job, and for other signals.
    """
    job = job_id()
    if job is None or number not in REQUEUE_SIGNALS:
        return ""
    command = ["scontrol", "requeue", job]
    try:  # the scheduler's program, found as the job's own script would find it
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)  # nosec
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"`{' '.join(command)}` failed: {error}"
    if done.returncode:
        return f"`{' '.join(command)}` failed: {' '.join(done.stderr.split())}"
    return f"job {job} was put back in the queue"
