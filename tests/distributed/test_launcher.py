"""Where processes meet, and how long one waits for the others."""

import socket
import subprocess
import sys

import pytest

from mmtx_cli.distributed.launcher import check_address
from mmtx_cli.errors import ConfigError
from tests.messages import faults_mention, raises

WAITING = """
import subprocess, sys, time
from mmtx_cli.distributed import ranks
from mmtx_cli.distributed.launcher import Watch
sys.argv = ["mmtx", "finetune"]
for code in {codes}:
    ranks.STARTED.append(subprocess.Popen([sys.executable, "-c", code]))
Watch("too late", {timeout}).start()
time.sleep(120)
"""
LONG = "import time; time.sleep(120)"


@pytest.fixture
def environment(monkeypatch):
    """Variables of the environment, without others that say where processes meet."""

    def change(**values):
        for name in ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK"):
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    return change


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_port_that_is_taken_is_named(environment, address):
    with socket.create_server((address, 0)) as taken:
        port = taken.getsockname()[1]
        environment(MASTER_PORT=port)
        with raises(ConfigError, f"MASTER_PORT={port}: Address already in use"):
            check_address(1)
        environment(MASTER_PORT=port, MASTER_ADDR="first", NODE_RANK=1)
        check_address(2)  # it is the first node's
    environment(MASTER_PORT=port)
    check_address(1)


@pytest.mark.parametrize(
    ("values", "parts"),
    [
        ({"MASTER_PORT": "abc"}, ["MASTER_PORT=abc: ", "whole number"]),
        ({"MASTER_PORT": "65536"}, ["MASTER_PORT=65536: ", "whole number"]),
        ({"NODE_RANK": "x"}, ["NODE_RANK=x: ", "whole number"]),
        ({"NODE_RANK": "2"}, ["NODE_RANK=2: ", "trainer.num_nodes=2", " 0 and 1"]),
        ({"NODE_RANK": "1"}, ["NODE_RANK=1: ", "MASTER_ADDR", "MASTER_PORT"]),
        (
            {"NODE_RANK": "1", "MASTER_PORT": "29500"},
            ["NODE_RANK=1: ", "MASTER_ADDR", "MASTER_PORT"],
        ),
    ],
)
def test_an_address_that_cannot_be_right(environment, values, parts):
    environment(**values)
    with raises(ConfigError, *parts):
        check_address(2)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("codes", "timeout", "parts", "status"),
    [
        ([LONG], 0.5, ["too late"], 2),  # as WAITING has it
        ([LONG, "import sys; sys.exit(2)"], None, ["rank 2 ", "status 2"], 2),
        (["import os; os.kill(os.getpid(), 9)", LONG], None, ["rank 1 ", "SIGKILL"], 1),
        (["pass"], None, ["rank 1 ", "status 0"], 1),
    ],
)
def test_one_that_waits_for_the_others_does_not_wait_for_ever(codes, timeout, parts, status):
    code = WAITING.format(codes=codes, timeout=timeout)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert done.returncode == status, done.stderr
    place, *others = parts
    faults_mention([done.stderr], (f"mmtx finetune: {place}", *others))
