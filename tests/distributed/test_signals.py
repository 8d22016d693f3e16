"""Ctrl-C ends a command as such, whatever the code that it interrupts makes of it."""

import signal
import sys
import threading
import time
import weakref

import pytest

from mmtx_cli.cli import dispatch_and_flush, main, run_and_report_errors
from mmtx_cli.distributed import launcher, ranks
from mmtx_cli.distributed.launcher import Watch
from mmtx_cli.distributed.signals import KeepInterrupt, kill_on_interrupt
from mmtx_cli.errors import DataError, Interrupted, RunError
from mmtx_cli.synthetic.scenes.make import make_scenes
from mmtx_cli.training.callbacks.checkpoint import SaveCallback
from tests.command_line import PRETRAINING


@pytest.fixture(autouse=True)
def _interruptible():
    """A job in a shell's background ignores Ctrl-C."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, handler)


def press():
    signal.raise_signal(signal.SIGINT)


def replaced(error):
    """What a library does with an interruption."""
    try:
        press()
    except BaseException:
        raise error from None


@pytest.mark.parametrize(
    "error", [SystemExit(1), RuntimeError("lost"), DataError("a.jpg: damaged"), RunError("failed")]
)
def test_an_error_in_place_of_an_interruption(error):
    with pytest.raises(KeyboardInterrupt) as caught, KeepInterrupt():
        replaced(error)
    assert caught.value.__cause__ is error
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interruption_of_the_creation_of_a_class():
    class Name:
        def __set_name__(self, owner, name):
            press()

    with pytest.raises(KeyboardInterrupt), KeepInterrupt():
        type("Named", (), {"name": Name()})


def test_an_error_without_an_interruption_stays():
    hook = sys.unraisablehook
    with pytest.raises(DataError, match="damaged"), KeepInterrupt():
        raise DataError("damaged")
    with pytest.raises(KeyboardInterrupt), KeepInterrupt():
        press()
    assert sys.unraisablehook is hook


def test_an_error_that_is_its_own_cause():
    first, second = DataError("first"), RuntimeError("second")
    first.__cause__, second.__cause__ = second, first
    with pytest.raises(DataError, match="first"), KeepInterrupt():
        raise first


def test_an_error_after_a_stop_stays_a_stop():
    def stopped():
        try:
            raise Interrupted(signal.SIGTERM, "stopped; saved")
        finally:
            raise RuntimeError("cannot tear down what was not set up")

    with pytest.raises(Interrupted, match="saved") as caught, KeepInterrupt():
        stopped()
    assert caught.value.number == signal.SIGTERM


def dropped():
    """Python ignores errors in the callbacks of weak references."""

    class Thing:
        pass

    thing = Thing()
    reference = weakref.ref(thing, lambda _: press())
    del thing
    assert reference() is None
    time.sleep(60)


def dropped_in_a_job():
    with KeepInterrupt():
        dropped()


@pytest.mark.parametrize("run", [dropped, dropped_in_a_job])
def test_an_interruption_that_python_drops_is_repeated(run, capsys):
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), KeepInterrupt():
        run()
    assert time.monotonic() - start < 30
    assert capsys.readouterr().err == ""


def test_another_error_that_python_drops_is_reported(monkeypatch):
    reported = []
    monkeypatch.setattr("sys.unraisablehook", reported.append)

    class Thing:
        def __del__(self):
            raise ValueError("of another kind")

    with KeepInterrupt():
        del Thing().__dict__
    assert [found.exc_type for found in reported] == [ValueError]


@pytest.mark.parametrize("handler", [signal.SIG_IGN, signal.SIG_DFL, lambda *_: None])
def test_another_handler_stays(handler):
    signal.signal(signal.SIGINT, handler)
    with KeepInterrupt():
        assert signal.getsignal(signal.SIGINT) == handler
    kill_on_interrupt()
    assert signal.getsignal(signal.SIGINT) == handler


def test_a_thread_sets_no_handler():
    errors = []

    def work():
        try:
            with KeepInterrupt():
                raise DataError("damaged")
        except DataError as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(errors) == 1


def test_at_the_end_an_interruption_kills():
    kill_on_interrupt()
    assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL


@pytest.mark.parametrize("hook", ["setup", "on_fit_start", "teardown"])
def test_while_lightning_begins_or_ends_a_run(hook, tmp_path, monkeypatch, capsys):
    """The handlers of a stop after the current step are not installed yet, or no longer."""
    original = getattr(SaveCallback, hook)

    def interrupted(*args, **kwargs):
        original(*args, **kwargs)
        press()

    monkeypatch.setattr(SaveCallback, hook, interrupted)
    monkeypatch.setattr("sys.argv", ["mmtx"])
    manifest = make_scenes(tmp_path / "scenes", num=20, size=32)
    args = [*PRETRAINING, "trainer.max_steps=1", f"data.path={manifest}"]
    assert run_and_report_errors("pretrain", [*args, f"run_dir={tmp_path / 'run'}"]) == 130
    assert capsys.readouterr().err.endswith("mmtx pretrain: interrupted\n")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_interrupted_job_ends_a_sweep(monkeypatch, capsys):
    jobs = []

    def run(cfg):
        jobs.append(cfg.seed)
        replaced(DataError("a.jpg: damaged"))

    monkeypatch.setattr("mmtx_cli.command.score.run", run)
    monkeypatch.setattr("sys.argv", ["mmtx"])
    assert main(["score", "-m", "seed=1,2", "references=a", "predictions=b"]) == 130
    assert len(jobs) == 1
    assert capsys.readouterr().err.endswith("mmtx score: interrupted\n")


def test_outside_the_work_of_a_command(monkeypatch, capsys):
    monkeypatch.setattr("mmtx_cli.cli.dispatch", lambda args: press())
    assert dispatch_and_flush(["score"]) == 130
    assert capsys.readouterr().err == "mmtx: interrupted\n"


def test_ranks_that_end_after_this_one_are_not_failures(monkeypatch):
    """Lightning kills the other ranks when this one is interrupted."""
    watch = Watch("too late", None)
    ended = []
    monkeypatch.setattr(launcher.time, "sleep", lambda _: setattr(watch, "done", True))
    monkeypatch.setattr(ranks, "failed", lambda joined: "rank 1 was killed by SIGKILL")
    monkeypatch.setattr(launcher, "end", lambda *fault: ended.append(fault))
    watch.run()
    assert ended == []
