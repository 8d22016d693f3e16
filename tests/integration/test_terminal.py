"""What stands on a narrow terminal and in a file while a progress bar is shown."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from mmtx_cli.io.quoting import quoted
from tests.command_line import environment

from .fixtures import AWKWARD_NAME

CODES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_terminal(*args, cwd, both=False, columns=30):
    """Standard output and what is on the terminal, which is standard error (``both``: and output)
    of a command.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", *args],
        cwd=cwd,
        env=environment(TERM="xterm"),
        stdout=theirs if both else subprocess.PIPE,
        stderr=theirs,
        stdin=subprocess.DEVNULL,
    )
    os.close(theirs)
    seen = b""
    try:
        while piece := os.read(ours, 65536):
            seen += piece
    except OSError:  # the terminal is closed at the end
        pass
    out = b"" if both else process.stdout.read()
    os.close(ours)
    assert process.wait(60) == 0, seen
    return out.decode(), seen.decode()


@pytest.mark.parametrize("command", ["caption", "predict"])
@pytest.mark.quick_cases(1)
def test_json_lines_are_not_wrapped(command, place, captioner):
    inputs = f"inputs={quoted(f'{AWKWARD_NAME}/scenes/images')}"
    args = [command, captioner, inputs, "data.batch_size=20"]
    out, shown = on_terminal(*args, f"run_dir=bar-{command}", cwd=place)
    lines = out.splitlines()
    assert len([json.loads(line) for line in lines[:-1]]) == 60
    assert lines[-1] == str(place / f"bar-{command}")
    assert "captioning" in CODES.sub("", shown)  # the bar was there
    assert '"path"' not in shown


@pytest.mark.slow
def test_on_one_terminal_lines_and_bar_stay_apart(place, captioner):
    args = [
        "caption",
        captioner,
        f"inputs={quoted(f'{AWKWARD_NAME}/scenes/images')}",
        "data.batch_size=20",
    ]
    _, shown = on_terminal(*args, "run_dir=bar-both", cwd=place, both=True)
    lines = [CODES.sub("", line.rpartition("\r")[2]) for line in shown.split("\r\n")]
    assert len([json.loads(line) for line in lines if line.startswith("{")]) == 60
    assert sum('"path"' in line for line in lines) == 60


@pytest.mark.parametrize("model", ["captioner", "contrastive"])
@pytest.mark.slow
def test_the_bar_names_heads_and_nothing_internal(model, place, request):
    ckpt = request.getfixturevalue(model)
    inputs = f"inputs={quoted(f'{AWKWARD_NAME}/scenes/images')}"
    args = ["predict", ckpt, inputs, "embeddings=true", f"run_dir=bar-{model}"]
    _, shown = on_terminal(*args, cwd=place, columns=100)
    assert "_streams" not in shown
    assert {"captioner": "captioning", "contrastive": "contrastive"}[model] in shown
