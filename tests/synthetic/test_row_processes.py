"""Rows made in several processes are those made in one, and a lost process is reported."""

import os
import signal
import time

import pytest

from mmtx_cli.errors import ConfigError, RunError
from mmtx_cli.synthetic.row_processes import MIN_PARALLEL, rows_in_order
from tests.messages import mentions


def squared(index):
    return {"square": index**2, "process": os.getpid()}


def refused(index):
    raise ConfigError(f"row {index}: refused")


def killed(index):
    os.kill(os.getpid(), signal.SIGKILL)


def interrupted(index):
    os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C, which a terminal sends to all processes
    return {"square": index**2}


def squares(rows):
    return [row["square"] for row in rows]


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("num", [1, 40])
def test_rows_come_in_order(workers, num):
    with rows_in_order(squared, num, workers) as rows:
        assert squares(rows) == [index**2 for index in range(num)]


@pytest.mark.parametrize(("num", "own"), [(MIN_PARALLEL - 1, True), (MIN_PARALLEL, False)])
def test_few_rows_are_made_in_the_calling_process(num, own, monkeypatch):
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    with rows_in_order(squared, num, None) as rows:
        assert ({row["process"] for row in rows} == {os.getpid()}) is own


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_of_a_row_is_raised(workers):
    with pytest.raises(ConfigError) as fault, rows_in_order(refused, 40, workers) as rows:
        list(rows)
    mentions(str(fault.value), "row 0")


def test_a_killed_process_is_reported():
    with pytest.raises(RunError) as fault, rows_in_order(killed, 40, 2) as rows:
        list(rows)
    mentions(str(fault.value), "killed", "workers=1")


def test_signals_to_the_group_are_left_to_the_caller():
    with rows_in_order(interrupted, 20, 2) as rows:
        assert squares(rows) == [index**2 for index in range(20)]


def slow(index):
    time.sleep(0.2)
    return {"square": index**2}


def test_rows_that_have_not_begun_are_dropped_at_the_end():
    begun = time.monotonic()
    with rows_in_order(slow, 4000, 2) as rows:
        next(rows)
    assert time.monotonic() - begun < 200  # of 400 s
