"""What is measured in a process of its own, and the answer or the reason why there is none.

That process may use up the memory: it is the first that the system then kills, and the command that
asked goes on.
"""

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtx_cli.distributed import ranks
from mmtx_cli.errors import MmtxError, RunError
from mmtx_cli.runs.run_config import RunConfig

ANSWER, OUTPUT = "answer.jsonl", "output.txt"
OUT_OF_MEMORY = 77
"""Exit status of a process that ran out of memory."""
MISTAKE = 2
LAST_LINES = 5


@dataclass(frozen=True)
class Request:
    """Something to measure."""

    kind: str
    """A function of ``planning.child``."""
    run: RunConfig
    """The settings; its run folder is one that may be removed."""
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Answer:
    """What was measured."""

    lines: list[dict[str, Any]]
    """Each measurement, in order."""
    out_of_memory: bool = False
    """Whether the process ended because memory ran out, after these lines."""


def measured(request: Request) -> Answer:
    """Measure in a process of its own.

    Raises:
        MmtxError: with the faults of the configuration or the data, as the run itself would.
        RunError: if the process failed for another reason than memory.
    """
    with tempfile.TemporaryDirectory(prefix="mmtx-plan-") as name:
        folder = Path(name)
        status = _run(request, folder)
        lines = _lines(folder / ANSWER)
        faults = [fault for line in lines for fault in line.pop("faults", ())]
        if status == MISTAKE and faults:
            raise MmtxError(*faults)
        # without a message of its own: the system killed it, as it does when memory runs out
        if status in (OUT_OF_MEMORY, -9):
            return Answer([line for line in lines if line], out_of_memory=True)
        if status:
            output = (folder / OUTPUT).read_text(encoding="utf-8", errors="replace")
            last = "\n".join(output.strip().splitlines()[-LAST_LINES:])
            raise RunError(f"the measurement failed with exit status {status}:\n{last}")
        return Answer(lines)


def _run(request: Request, folder: Path) -> int:
    """Run the process and return its exit status."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    env = {**os.environ, "PYTHONPATH": path, "WANDB_MODE": "disabled"}
    command = [sys.executable, "-P", "-m", "mmtx_cli.planning.child", str(folder)]
    with open(folder / OUTPUT, "wb") as output:
        process = ranks.started(
            command, env, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            assert process.stdin is not None
            pickle.dump({"path": sys.path, "request": request, "begun": time.time()}, process.stdin)
            process.stdin.close()
            return process.wait()
        except BrokenPipeError:  # it has ended already; its output says why
            return process.wait()
        finally:
            process.kill()
            process.wait()


def _lines(path: Path) -> list[dict[str, Any]]:
    """Return the measurements; a last line that was not finished is left out."""
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]
