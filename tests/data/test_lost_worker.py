"""Workers of a loader that die: one message, with the file where it is known, and what to do."""

import gc
import os
import signal
import subprocess
import sys
import time
from functools import partial

import pytest
from torch.utils.data import Dataset, _utils

from mmtx_cli.data.loader import Loader
from mmtx_cli.data.loader_worker import Notes, init_worker, reading
from mmtx_cli.data.lost_worker import (
    LostWorkerError,
    lost_worker_message,
    reporting_lost_worker,
)
from mmtx_cli.errors import RunError
from tests.command_line import environment
from tests.messages import mentions

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch):
    """A loader that is deleted waits for its lost workers only briefly."""
    monkeypatch.setattr(_utils, "MP_STATUS_CHECK_INTERVAL", 0.2)
    yield
    gc.collect()


class Deadly(Dataset):
    """Whose third sample ends the process that reads it."""

    def __init__(self, end, named=True):
        self.end, self.named = end, named

    def __len__(self):
        return 8

    def __getitem__(self, i):
        with reading(f"s{i}", f"pictures/{i}.jpg"):
            if i == 2 and self.named:
                self.end()
        if i == 2:
            self.end()
        return i


def die(number):
    os.kill(os.getpid(), number)
    time.sleep(60)


def read_slowly(loader):
    """As a model does: a loss may be noticed anywhere."""
    for _ in loader:
        time.sleep(0.01)


def message(end, named=True, workers=2):
    notes = Notes(workers)
    settled = partial(init_worker, notes=notes)
    loader = Loader(Deadly(end, named), num_workers=workers, worker_init_fn=settled)
    with pytest.raises(RunError) as error:
        read_slowly(loader)
    assert isinstance(error.value, LostWorkerError)
    return str(error.value)


@pytest.mark.parametrize(
    ("number", "remedy"),
    [
        (signal.SIGKILL, ["memory", "data.num_workers"]),
        (signal.SIGSEGV, ["replace", "mmtx data action=check decode=true"]),
        (signal.SIGABRT, ["replace", "mmtx data action=check decode=true"]),
        (signal.SIGBUS, ["shared memory", "/dev/shm"]),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_the_file_and_the_signal_are_named(number, remedy, workers):
    messages = message(partial(die, number), workers=workers)
    mentions(messages, "pictures/2.jpg", "sample s2", "signal", signal.strsignal(number), *remedy)
    assert messages.endswith("resume=true")
    assert "\n" not in messages


def test_an_exit_status_is_named():
    messages = message(partial(os._exit, 3))
    mentions(messages, "exit status 3", "pictures/2.jpg", "sample s2")


def test_without_a_file_none_is_named():
    messages = message(partial(die, signal.SIGSEGV), named=False)
    mentions(messages, "Segmentation fault", "file", "decoder")
    assert "pictures" not in messages


def test_other_errors_stay_what_they_are():
    assert lost_worker_message("CUDA out of memory") is None
    messages = lost_worker_message("DataLoader worker (pid(s) 7, 8) exited unexpectedly")
    mentions(messages, "process 7", "resume=true")
    assert "signal" not in messages


def test_an_exit_status_that_torch_does_not_know_yet():
    text = "DataLoader worker (pid(s) 7, 8) exited unexpectedly"
    mentions(lost_worker_message(text, {7: -9, 8: 0}), "process 7", "signal (Killed)")
    mentions(lost_worker_message(text, {7: 3}), "process 7", "exit status 3")
    unknown = lost_worker_message(text, {7: None})
    mentions(unknown, "process 7")
    assert not [word for word in ("signal", "exit status") if word in unknown]


def reset_while_a_loss_is_reported():
    try:
        raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed. ")
    finally:
        raise ConnectionResetError


def test_an_error_in_whose_midst_the_loss_was_raised_is_the_loss():
    with pytest.raises(LostWorkerError, match="process 7"), reporting_lost_worker():
        reset_while_a_loss_is_reported()


def fail():
    raise RuntimeError("a fault of ours")


def test_an_error_in_a_worker_is_no_lost_worker():
    loader = Loader(Deadly(fail), num_workers=1, worker_init_fn=init_worker)
    with pytest.raises(RuntimeError, match="a fault of ours") as error:
        list(loader)
    assert not isinstance(error.value, RunError)


def test_notes_of_long_and_odd_paths():
    notes = Notes(2)
    notes.write(0, "a" * 5000)
    notes.write(1, "\udcff é")
    (pid, long), (_, odd) = notes.read()
    assert pid == os.getpid()
    assert 1000 < len(long) < 1024
    assert odd.endswith(" é")
    notes.write(0, "b")
    assert next(notes.read()) == (pid, "b")


def test_an_error_caused_by_a_lost_worker_is_shorter():
    def teardown():
        try:
            raise LostWorkerError("a worker that loads data was killed")
        finally:
            raise RuntimeError("begin first")

    with pytest.raises(LostWorkerError, match="was killed"), reporting_lost_worker():
        teardown()
    with pytest.raises(RuntimeError, match="of another kind"), reporting_lost_worker():
        raise RuntimeError("of another kind")


def early(number, worker):
    """A signal to the process group, before the worker ignores it."""
    os.kill(os.getpid(), number)
    init_worker(worker)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_the_group_while_workers_start(number):
    loader = Loader(range(4), num_workers=1, worker_init_fn=partial(early, number))
    assert [int(item) for item in loader] == [0, 1, 2, 3]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()


LEFT = """
from mmtx_cli.data.loader import Loader
from mmtx_cli.data.loader_worker import init_worker
batches = iter(Loader(range(8), num_workers=2, worker_init_fn=init_worker))
type(batches.batches).__del__ = lambda self: None  # as where an error has ended the loop
print(next(batches).item())
"""


def test_workers_that_are_left_are_ended():
    done = subprocess.run(
        [sys.executable, "-c", LEFT], capture_output=True, text=True, timeout=120, env=environment()
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
