"""One of two processes of a run is killed: the other ends, and the checkpoint is intact."""

import os
import random
import signal
import sys
import time

import pytest

from mmtx_cli.io.checkpoint import load_checkpoint
from tests.integration.test_ranks import ENDLESS, is_left, second_rank, started

KILLS = 20


@pytest.mark.slow
@pytest.mark.xdist_group("devices")
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_no_process_is_left(survival_data, tmp_path):
    draw = random.Random(0)
    for number in range(KILLS):
        run = tmp_path / str(number)
        process = started([*ENDLESS, f"data.path={survival_data}"], run)
        second = second_rank(process, run)
        time.sleep(draw.uniform(0, 2))
        os.kill(draw.choice([process.pid, second]), signal.SIGKILL)
        process.communicate(timeout=100)
        assert process.returncode in (1, -signal.SIGKILL)
        assert not is_left(run), f"kill {number}: a process is left after 30 s"
        assert load_checkpoint(run / "checkpoints" / "last.ckpt")["global_step"] > 0
        print(f"{number + 1} of {KILLS} kills: no process is left", flush=True)
