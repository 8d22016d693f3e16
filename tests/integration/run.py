"""Run commands as a user does: a subprocess, real files, what is printed and what is left."""

import os
import subprocess
import sys
from pathlib import Path

TINY = [
    "experiment=scenes_pretrain",
    "image_size=32",
    "dim=32",
    "encoder.image.width=32",
    "encoder.image.depth=1",
    "encoder.text.width=32",
    "encoder.text.depth=1",
    "head=[contrastive,captioning]",
    "head.captioning.reads=[image]",
    "head.captioning.depth=1",
    "head.captioning.num_beams=2",
    "data.batch_size=8",
    "data.num_workers=0",
    "trainer.accelerator=cpu",
]
"""A pre-training of a model so small that a step takes milliseconds."""


def environment() -> dict[str, str]:
    """The user's environment, one thread a process: tests run side by side."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "MMTX_DEBUG": "0"}


def start(*arguments: str, cwd: Path | None = None) -> subprocess.Popen:
    """Start ``mmtx`` with the arguments."""
    return subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment(),
    )


def mmtx(*arguments: str, cwd: Path | None = None, status: int = 0) -> str:
    """Run ``mmtx`` to its end, expect an exit status, and return what it printed."""
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=300)
    assert process.returncode == status, f"exit {process.returncode}\n{out}\n{err}"
    return out if status == 0 else err
