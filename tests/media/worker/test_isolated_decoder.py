import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker import isolated_decoder as guard_module
from mmtx_cli.media.worker import process
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from tests.media.guarded import (
    awkward_bug,
    bug,
    crash,
    double,
    facts,
    hold_the_lock,
    leave,
    own_pid,
    sleep,
    unreadable,
    unsendable,
)
from tests.messages import mentions, raises

PATIENCE = 300.0  # seconds: a fresh interpreter may import PyTorch on a machine at work
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture(params=["forked", "spawned"])
def guard(request, monkeypatch):
    """A patient guard; fresh interpreters serve systems without fork, and start slowly."""
    if request.param == "forked" and not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    kind = process.Forked if request.param == "forked" else process.Spawned
    monkeypatch.setattr(guard_module, "Child", kind)
    guard = IsolatedDecoder(PATIENCE)
    yield guard
    guard.close()


@pytest.fixture
def forked():
    if not hasattr(os, "fork"):
        pytest.skip("no fork on this system")
    guard = IsolatedDecoder(PATIENCE)
    yield guard
    guard.close()


def test_everything_that_can_happen_to_a_call(guard):
    """One child for all, since a fresh interpreter takes seconds to start."""
    first = guard.run(own_pid, "a.mp4")
    assert first != os.getpid()
    assert guard.run(own_pid, "a.mp4") == first

    frames = torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4)
    doubled = guard.run(double, "a.mp4", frames)
    assert torch.equal(doubled, frames * 2)
    doubled.add_(1)  # memory of its own
    assert guard.run(double, "a.mp4", frames.bool().any()) == 2

    with pytest.raises(UnreadableError) as caught:
        guard.run(unreadable, "cut.mp4")
    assert (caught.value.path, caught.value.reason) == ("cut.mp4", "truncated")

    with pytest.raises(KeyError, match="a bug of ours") as bug_caught:
        guard.run(bug, "a.mp4")
    assert "in bug\n    raise KeyError" in "".join(bug_caught.value.__notes__)
    with pytest.raises(RuntimeError, match="AwkwardError: 1 and 2") as bug_caught:
        guard.run(awkward_bug, "a.mp4")
    assert "in awkward_bug" in "".join(bug_caught.value.__notes__)

    with raises(TypeError, "cannot send", "unsendable", "lambda"):
        guard.run(unsendable, "a.mp4")
    with raises(TypeError, "cannot send", "lambda"):
        guard.run(lambda path: path, "a.mp4")
    assert guard.run(own_pid, "a.mp4") == first  # none of these was its end

    with raises(UnreadableError, "b.mp4: ", "crashed", "signal 11"):
        guard.run(crash, "b.mp4", signal.SIGSEGV)
    assert guard.run(own_pid, "a.mp4") != first


def test_a_hanging_file_is_cut_off_in_time(forked):
    forked.run(own_pid, "a.mp4")
    forked.timeout = 0.3
    begun = time.monotonic()
    with pytest.raises(UnreadableError) as caught:
        forked.run(sleep, "slow.mp4", 60)
    assert 0.3 <= time.monotonic() - begun < 5
    assert caught.value.path == "slow.mp4"
    mentions(caught.value.reason, "longer", " 0.3 s")
    assert forked.run(double, "a.mp4", 4) == 8
    with raises(UnreadableError, "stuck.mp4: ", "longer", " 0.3 s"):
        forked.run(hold_the_lock, "stuck.mp4")
    assert forked.run(double, "a.mp4", 5) == 10


def test_a_hanging_spawned_child_is_cut_off(monkeypatch):
    monkeypatch.setattr(guard_module, "Child", process.Spawned)
    guard = IsolatedDecoder(0.5)
    assert guard.run(double, "a.mp4", 4) == 8
    with raises(UnreadableError, "slow.mp4: ", "longer", " 0.5 s"):
        guard.run(sleep, "slow.mp4", 60)
    guard.close()


def test_functions_of_the_standard_library(forked):
    forked.timeout = 0.2
    with raises(UnreadableError, "60: ", "longer", " 0.2 s"):
        forked.run(time.sleep, 60)


@pytest.mark.parametrize(
    ("function", "argument", "cause"),
    [(crash, 11, "signal 11"), (crash, 9, "signal 9"), (leave, 3, "exit status 3")],
)
def test_a_crash_costs_one_call(forked, function, argument, cause):
    with pytest.raises(UnreadableError) as caught:
        forked.run(function, "bad.mp4", argument)
    mentions(caught.value.reason, "crashed", cause)
    assert forked.run(double, "a.mp4", 1) == 2


def test_a_child_that_died_between_calls_costs_nothing(forked):
    pid = forked.run(own_pid, "a.mp4")
    os.kill(pid, signal.SIGKILL)
    assert is_gone(pid)
    assert forked.run(own_pid, "a.mp4") != pid


def is_gone(pid, within=5.0):
    """Whether a process ends; a zombie that its new parent has not reaped is gone too."""
    last = time.monotonic() + within
    while time.monotonic() < last:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] in "ZX":
                    return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        time.sleep(0.02)
    return False


needs_proc = pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no /proc")


@needs_proc
@pytest.mark.parametrize("how", ["close", "del"])
def test_nothing_is_left_after_the_end(how):
    guard = IsolatedDecoder(PATIENCE)
    pid = guard.run(own_pid, "a.mp4")
    assert not is_gone(pid, within=0.1)
    if how == "close":
        guard.close()
        guard.close()
    else:
        del guard
    assert not os.path.exists(f"/proc/{pid}")  # reaped


PARENT = """
import os, sys, threading, time
from mmtx_cli.media.worker import child
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from tests.media import guarded as cases
if sys.argv[2] == "elsewhere":  # a system that does not end the children of the dead
    from mmtx_cli.media.worker import process
    process._ORPHAN_SECONDS = 0.2
    child.end_with = lambda parent: False
g = IsolatedDecoder(2.0)
print(g.run(cases.own_pid, "a"), flush=True)
if sys.argv[1] == "hang":
    threading.Thread(target=g.run, args=(cases.hold_the_lock, "b"), daemon=True).start()
time.sleep(0.2)
print("ready", flush=True)
time.sleep(60)
"""


@needs_proc
@pytest.mark.parametrize("system", ["linux", "elsewhere"])
@pytest.mark.parametrize("state", ["idle", "hang"])
def test_no_child_outlives_its_parent(state, system):
    arguments = [sys.executable, "-c", PARENT, state, system]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as parent:
        pid = int(parent.stdout.readline())
        assert parent.stdout.readline() == "ready\n"
        parent.kill()
        # the child must not hold the parent's output open either
        assert parent.stdout.read() == ""
    assert is_gone(pid)


@needs_fork
def test_an_interrupt_is_the_parents_affair():
    """Ctrl-C goes to the whole group: the child must not print a traceback, nor die of it."""
    script = textwrap.dedent("""
        import os, signal, time
        from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
        from tests.media import guarded as cases
        guard = IsolatedDecoder(20.0)
        pid = guard.run(cases.own_pid, "a")
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
            os.killpg(0, number)
        time.sleep(0.1)
        assert guard.run(cases.own_pid, "a") == pid
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        signal.signal(signal.SIGALRM, lambda *_: os.killpg(0, signal.SIGINT))
        try:
            guard.run(cases.sleep, "a", 10)
        except KeyboardInterrupt:
            pass
        # the interrupted call's answer is not taken for that of the next one
        assert guard.run(cases.double, "a", 2) == 4
        print("done")
    """)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, start_new_session=True
    )
    assert (done.stdout, done.stderr, done.returncode) == ("done\n", "", 0)


@needs_proc
def test_the_child_holds_nothing_of_its_parent(forked, capfd):
    with open(__file__):
        found = forked.run(facts, "a.mp4")
    # standard input, output and errors, the two pipes, and nowhere for a last traceback
    assert found == {"threads": 1, "descriptors": 6, "interrupt": signal.SIG_IGN}
    assert capfd.readouterr().out == ""  # a decoder's words are not part of a command's output


@needs_proc
def test_many_calls_and_many_ends_leak_no_descriptors(forked):
    def count():
        return len(os.listdir("/proc/self/fd"))

    forked.run(own_pid, "a.mp4")
    before = count()
    for i in range(200):
        assert forked.run(double, "a.mp4", np.full(100, i))[0] == 2 * i
    for _ in range(5):
        with pytest.raises(UnreadableError):
            forked.run(crash, "b.mp4", signal.SIGKILL)
        forked.run(own_pid, "a.mp4")
    assert count() == before
    forked.close()
    assert count() == before - 2


class Frames(Dataset):
    """Reads through a guard that was used before the workers began."""

    def __init__(self):
        self.guard = IsolatedDecoder(PATIENCE)
        self.parent_child = self.guard.run(own_pid, "a.mp4")

    def __len__(self):
        return 12

    def __getitem__(self, i):
        fault = ""
        try:
            if i == 5:
                self.guard.run(crash, "bad.mp4", signal.SIGSEGV)
        except UnreadableError as error:
            fault = error.reason
        pid = self.guard.run(own_pid, "a.mp4")
        frames = self.guard.run(double, "a.mp4", torch.full((8, 3, 16, 16), i, dtype=torch.uint8))
        return frames, pid, os.getpid(), fault


@pytest.mark.parametrize("workers", [0, 2])
def test_inside_a_loaders_workers(workers):
    samples = Frames()
    rows = list(DataLoader(samples, batch_size=None, num_workers=workers))
    assert [int(frames[0, 0, 0, 0]) for frames, *_ in rows] == [2 * i for i in range(12)]
    assert [i for i, (*_, fault) in enumerate(rows) if fault] == [5]
    mentions(rows[5][-1], "crashed", "signal 11")
    children, parents = ({row[which] for row in rows} for which in (1, 2))
    assert len(parents) == max(workers, 1)
    assert len(children) == len(parents) + 1  # each has its own, and one was lost
    assert not children & parents
    if workers:
        assert samples.parent_child not in children
        assert all(is_gone(pid) for pid in children)
        assert samples.guard.run(own_pid, "a.mp4") == samples.parent_child
    samples.guard.close()


def test_threads_take_turns(forked):
    found = {}

    def work(i):
        found[i] = [forked.run(double, "a.mp4", 100 * i + k) for k in range(20)]

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {i: [2 * (100 * i + k) for k in range(20)] for i in range(4)}
    assert forked.run(double, "a.mp4", 1) == 2  # though the thread that began the child is over


def test_a_fork_among_threads_warns_of_nothing(forked):
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert forked.run(double, "a.mp4", 1) == 2
    finally:
        stop.set()
        thread.join()


def test_time_while_stopped_does_not_count(forked):
    """A job put to sleep (Ctrl-Z) with its group must not find all its files too slow."""
    pid = forked.run(own_pid, "a.mp4")
    forked.timeout = 2.5
    script = f"kill -STOP {os.getpid()} {pid}; sleep 3; kill -CONT {pid} {os.getpid()}"
    helper = subprocess.Popen(["sh", "-c", script])
    forked.run(sleep, "a.mp4", 1.0)
    assert helper.wait() == 0


def test_a_copy_starts_its_own_child(forked):
    pid = forked.run(own_pid, "a.mp4")
    copy = pickle.loads(pickle.dumps(forked))
    assert copy.timeout == forked.timeout
    assert copy.run(own_pid, "a.mp4") != pid
    copy.close()
    assert forked.run(own_pid, "a.mp4") == pid


@pytest.mark.parametrize("timeout", [0, -1.0, float("nan")])
def test_an_invalid_timeout(timeout):
    with raises(ValueError, timeout, " 0 seconds"):
        IsolatedDecoder(timeout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool, torch.bfloat16])
def test_tensors_of_any_kind_survive(forked, dtype):
    value = torch.ones(3, 4).to(dtype).T[1:]
    found = forked.run(double, "a.mp4", value)
    assert torch.equal(found, value * 2)
    assert found.dtype == (value * 2).dtype
    assert forked.run(double, "a.mp4", torch.empty(0, 3)).shape == (0, 3)
