"""Runs that are killed at any instant, often inside a save, and resumed until they end."""

import random
import shutil
import sys
import time
from pathlib import Path

import pytest

from mmtx_cli.cli import main
from tests.survival.lab import RUN, difference, forked_main, killed_when, outcome, step_of

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and looks for another file system"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]
STEPS = 40
ELSEWHERE = Path("/dev/shm")
"""A file system that is not that of the run folder, for temporary files (TMPDIR)."""


def is_saving(run: Path) -> bool:
    """A temporary file is beside the checkpoints."""
    return any((run / "checkpoints").glob(".*.part"))


def killed(args: list[str], run: Path, draw: random.Random, in_save: bool, env: dict) -> str:
    """Run a command and kill it; "ended", "killed" or "killed in a save"."""
    resume = any((run / "checkpoints").glob("*.ckpt"))
    if not resume:  # nothing was saved yet
        shutil.rmtree(run, ignore_errors=True)
    for path in (run / "checkpoints").glob(".*.part"):
        path.unlink()  # a process that is not forked does so itself: they are older than it
    what = ["pretrain", "resume=true"] if resume else args
    pid = forked_main([*what, f"run_dir={run}"], run.with_name("output"), **env)
    first = step_of(run)
    target, pause = draw.randint(first, STEPS), draw.uniform(0, 0.02)

    def ready() -> bool:
        if step_of(run) < target:
            return False
        if in_save and not is_saving(run):
            return False
        time.sleep(pause / 20 if in_save else pause)
        return True

    status = killed_when(pid, ready)
    if status == -9:
        return "killed in a save" if is_saving(run) else "killed"
    assert status == 0, run.with_name("output").read_text()
    return "ended"


def check(data: Path, folder: Path, workers: int, kills: int, in_saves: int) -> None:
    """Kill and resume runs until there were as many kills.

    All end as one that was never killed, to the bit; a line is printed for each.
    """
    args = [*RUN, f"data.path={data}", f"trainer.max_steps={STEPS}", f"data.num_workers={workers}"]
    args += ["trainer.save_every=2", "trainer.log_every=1"]
    whole = folder / "whole"
    assert main([*args, f"run_dir={whole}"]) == 0
    expected = outcome(whole)
    env = {"TMPDIR": str(ELSEWHERE)} if ELSEWHERE.is_dir() else {}
    draw, ends, runs = random.Random(workers), [], 0
    while len(ends) < kills or ends.count("killed in a save") < in_saves:
        runs += 1
        run = folder / f"run {runs}" / "run"
        run.parent.mkdir()
        for _ in range(8):
            end = killed(args, run, draw, len(ends) % 2 == 0, env)
            if end == "ended":
                break
            ends.append(end)
        if end != "ended":
            what = ["pretrain", "resume=true"] if any(run.glob("checkpoints/*.ckpt")) else args
            pid = forked_main([*what, f"run_dir={run}"], run.with_name("output"), **env)
            assert killed_when(pid, lambda: False) == 0, run.with_name("output").read_text()
        assert difference(expected, outcome(run)) is None, f"run {runs}: {ends}"
        shutil.rmtree(run.parent)
        saves = ends.count("killed in a save")
        print(
            f"{workers} workers: {runs} runs, {len(ends)} kills, {saves} inside a save", flush=True
        )


def test_a_few(survival_data, tmp_path):
    check(survival_data, tmp_path, workers=0, kills=1, in_saves=1)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [0, 2])
def test_many(workers, survival_data, tmp_path):
    check(survival_data, tmp_path, workers, kills=50, in_saves=15)
