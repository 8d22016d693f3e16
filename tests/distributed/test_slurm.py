"""Jobs of SLURM: who started the processes, and what happens when the time is over."""

import os
import signal

import pytest

from mmtx_cli.distributed import slurm
from mmtx_cli.distributed.lightning import LightningEnvironment, SLURMEnvironment
from mmtx_cli.errors import ConfigError
from tests.messages import raises

VARIABLES = ("TORCHELASTIC_RUN_ID", "WORLD_SIZE", "SLURM_JOB_ID", "SLURM_STEP_ID", "SLURM_NTASKS")
VARIABLES += ("SLURM_NTASKS_PER_NODE", "SLURM_ARRAY_JOB_ID", "SLURM_ARRAY_TASK_ID")


@pytest.fixture
def job(monkeypatch, tmp_path):
    """Set variables of a job; ``scontrol`` notes how it is called."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    program = tmp_path / "scontrol"
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def change(status=0, **values):
        program.write_text(
            f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\necho "no such job" >&2\nexit {status}\n'
        )
        program.chmod(0o755)
        for name, value in values.items():
            monkeypatch.setenv(name, value)
        return tmp_path / "calls"

    return change


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
def test_a_job_is_put_back_in_the_queue(job, number):
    calls = job(SLURM_JOB_ID="123")
    assert slurm.requeue(number) == "job 123 was put back in the queue"
    assert calls.read_text() == "requeue 123\n"


def test_a_task_of_an_array_is_put_back(job):
    calls = job(SLURM_JOB_ID="123", SLURM_ARRAY_JOB_ID="120", SLURM_ARRAY_TASK_ID="3")
    slurm.requeue(signal.SIGUSR1)
    assert calls.read_text() == "requeue 120_3\n"


def test_other_signals_and_places_requeue_nothing(job):
    calls = job()
    assert slurm.requeue(signal.SIGUSR1) == ""
    job(SLURM_JOB_ID="123")
    assert slurm.requeue(signal.SIGTERM) == ""
    assert not calls.exists()


def test_a_failure_is_reported(job):
    job(status=1, SLURM_JOB_ID="123")
    assert slurm.requeue(signal.SIGUSR1) == "`scontrol requeue 123` failed: no such job"


def test_a_job_without_srun_starts_its_own_processes(job):
    assert slurm.environments() == []
    job(SLURM_JOB_ID="123", SLURM_NTASKS="4")
    assert slurm.external_world() == 1
    (environment,) = slurm.environments()
    assert type(environment) is LightningEnvironment
    job(SLURM_STEP_ID="0")
    assert slurm.external_world() == 4
    with raises(ConfigError, "SLURM: 4 tasks", "--ntasks-per-node"):
        slurm.environments()
    job(SLURM_NTASKS_PER_NODE="4")
    (environment,) = slurm.environments()
    assert type(environment) is SLURMEnvironment
    assert environment.auto_requeue is False
    job(TORCHELASTIC_RUN_ID="x", WORLD_SIZE="2")
    assert slurm.external_world() == 2
    assert slurm.environments() == []
