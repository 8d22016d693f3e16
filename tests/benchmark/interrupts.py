"""End a training run at random moments by random signals, and resume it until it is done.

``python tests/benchmark/interrupts.py [--tries 20] [--seed 0]`` prints a line a try and how many of
the runs ended with the same weights, to the bit, as one that was never interrupted. A command that
ends with another status than its signal's, or with a traceback, is followed by what it printed on
standard error. Needs Linux.
"""

import argparse
import math
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import PRETRAINING, environment

STEPS = ["decoder.dropout=0.2", "data.num_workers=1", "trainer.max_steps=60"]
SAVES = ["trainer.save_every=7", "trainer.val_every=20"]
SIGNALS = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def cpu_seconds(process):
    """What a process has used so far; moments by the clock would depend on what else is running."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def interrupted(args, number, moment, group):
    """Run a command and send a signal after ``moment`` CPU seconds.

    Returns its exit status, what it wrote to standard error, and the CPU seconds before the signal.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", *args],
        env=environment(MMTX_DEBUG="1"),  # with the traceback of an error
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    used = 0.0
    while process.poll() is None and used < moment:
        used = max(used, cpu_seconds(process))
        time.sleep(0.005)
    if process.poll() is None:
        os.killpg(process.pid, number) if group else process.send_signal(number)
    error = process.communicate(timeout=300)[1]
    return process.returncode, error, used


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    draw = random.Random(args.seed)
    with tempfile.TemporaryDirectory() as folder:
        manifest = make_scenes(Path(folder) / "scenes", num=60, size=32)
        common = ["pretrain", *PRETRAINING, *STEPS, *SAVES, f"data.path={manifest}"]
        whole = Path(folder) / "whole"
        status, error, seconds = interrupted([*common, f"run_dir={whole}"], None, math.inf, False)
        assert status == 0, error
        expected = load_file(whole / "model" / "model.safetensors")
        same = 0
        for number in range(args.tries):
            run = Path(folder) / str(number)
            ended = []
            while not (run / "result.json").exists():
                resume = (run / "checkpoints" / "last.ckpt").exists()
                what = ["pretrain", "resume=true"] if resume else common
                if not resume:  # nothing was saved yet
                    shutil.rmtree(run, ignore_errors=True)
                sent, group = draw.choice(SIGNALS), draw.random() < 0.5
                moment = draw.uniform(0.1, 1.1) * seconds
                status, error, _ = interrupted([*what, f"run_dir={run}"], sent, moment, group)
                ended.append(f"{sent.name}{' (group)' if group else ''}: {status}")
                if "Traceback" in error or status not in (0, -sent, 128 + sent):
                    ended.append("TRACEBACK" if "Traceback" in error else "WRONG STATUS")
                    print(f"{' '.join([*what, f'run_dir={run}'])}, {moment:.2f} s:\n{error}")
                    break
            found = {}
            if (run / "result.json").exists():
                found = load_file(run / "model" / "model.safetensors")
            equal = found.keys() == expected.keys() and all(
                torch.equal(expected[name], found[name]) for name in expected
            )
            same += equal
            print(
                f"try {number}: {', '.join(ended)}; {'the same' if equal else 'DIFFERS'}",
                flush=True,
            )
        print(
            f"{same} of {args.tries} runs ended as the one that was never interrupted, to the bit"
        )
    sys.exit(same < args.tries)


if __name__ == "__main__":
    main()
