"""Tiny training runs that are ended and resumed, and what has to be equal afterwards."""

import csv
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from mmtx_cli.cli import main
from tests.command_line import PRETRAINING, environment

RUN = (
    "pretrain",
    *PRETRAINING,
    "decoder.dropout=0.2",
    "data.augment.scale=[0.6,1.0]",
    "trainer.val_every=10",
    "trainer.log_every=3",
    "trainer.progress=false",
)
TIMES = ("items_per_second",)


def resumed(run: Path, *args: str) -> None:
    """Resume a run in this process, to its end."""
    assert main(["pretrain", "resume=true", f"run_dir={run}", *args]) == 0


def outcome(run: Path) -> dict[str, Any]:
    """All that a finished run leaves, except times: every tensor, and every number as text."""
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    for state in checkpoint["callbacks"].values():
        state.pop("seconds", None)
    result = json.loads((run / "result.json").read_text())
    with open(run / "metrics.csv", newline="") as file:
        rows = [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(file)]
    return {
        "checkpoint": checkpoint,
        "model": load_file(run / "model" / "model.safetensors"),
        "metrics": rows,
        "result": {key: result[key] for key in ("metrics", "steps", "count")},
    }


def difference(a: Any, b: Any, path: str = "") -> str | None:
    """Where two outcomes differ first, to the bit; None if they are the same."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        same = a.dtype == b.dtype and a.shape == b.shape and torch.equal(a, b)
        return None if same else path
    if isinstance(a, dict) and isinstance(b, dict):
        if a.keys() != b.keys():
            return f"{path}: {sorted(map(str, a.keys() ^ b.keys()))}"
        return next((d for k in a if (d := difference(a[k], b[k], f"{path}/{k}"))), None)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple) and len(a) == len(b):
        pairs = enumerate(zip(a, b, strict=True))
        return next((d for i, (x, y) in pairs if (d := difference(x, y, f"{path}/{i}"))), None)
    return None if type(a) is type(b) and a == b else f"{path}: {a!r:.300} {b!r:.300}"


def forked_main(args: list[str], output: Path, **env: str) -> int:
    """Start a command in a copy of this process, in a session of its own; its process id."""
    if pid := os.fork():
        return pid
    status = 1
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = (open(n, "w", closefd=False) for n in (1, 2))  # noqa: SIM115
        os.environ.update(environment(**env))
        sys.argv = ["mmtx", *args]
        status = main([*args])
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def killed_when(pid: int, ready: Callable[[], bool]) -> int:
    """Kill a process once it is ``ready``; its exit status, -9 if it was killed."""
    limit = time.monotonic() + 300
    while time.monotonic() < limit:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if ready():
            break
        time.sleep(0.0002)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def step_of(run: Path) -> int:
    """The last step in the metrics of a run."""
    try:
        rows = (run / "metrics.csv").read_text().splitlines()[1:]
        return int(rows[-1].split(",")[0]) if rows else 0
    except (OSError, ValueError):  # just being written
        return 0
