"""Peak memory of ``mmtx caption`` on a video of ten minutes, above that on one of ten seconds.

The sum over the command's processes, as the system counts them: memory of their own (Pss).
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from decode_video import make_video

SECONDS = (10, 600)
ROOT = Path(__file__).parents[2]


def run(args: list[str]) -> float:
    """Run a command; return the peak of its memory in MB, children included."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "mmtx_cli", *args]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        peak = 0.0
        while process.poll() is None:
            peak = max(peak, sum(map(used, family(process.pid))))
            time.sleep(0.05)
        assert process.stderr is not None
        if process.returncode:
            raise RuntimeError(process.stderr.read().decode())
    return peak


def family(pid: int) -> list[int]:
    """A process and all below it."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(c) for t in tasks for c in (t / "children").read_text().split()]
    except (FileNotFoundError, ProcessLookupError):
        return []
    return [pid, *(one for child in children for one in family(child))]


def used(pid: int) -> float:
    """A process' share of memory in MB."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0) / 1000


def memory(folder: Path, _rounds: int) -> None:
    """Print both peaks and their difference, as a whole and in pieces of ten seconds."""
    model = str(folder / "run")
    made = [
        "data",
        "action=create",
        "dataset=events",
        f"out={folder / 'events'}",
        "num=20",
        "size=64",
    ]
    run(made)
    sizes = ["width=32", "depth=1", "num_heads=2"]
    args = [*(f"encoder.video.{size}" for size in sizes), *(f"encoder.audio.{s}" for s in sizes)]
    args += ["encoder/video=vit", "encoder/audio=spectrogram_cnn", "fusion=concat", "dim=32"]
    args += ["image_size=224", "head=captioning", "trainer.max_steps=1", "data.batch_size=2"]
    args += [f"data.path={folder / 'events' / 'events.jsonl'}", f"run_dir={model}"]
    run(["finetune", *args])
    for seconds in SECONDS:
        make_video(folder / f"{seconds}.mp4", seconds)
    for how in ("", "segment_seconds=10"):
        peaks = []
        for seconds in SECONDS:
            inputs = ["caption", f"ckpt={model}", f"inputs={folder / f'{seconds}.mp4'}"]
            out = f"run_dir={folder / f'captions-{seconds}-{how}'}"
            peaks.append(run([*inputs, out.replace("segments=", "s"), *filter(None, [how])]))
        print(
            f"memory of captioning {how or 'as a whole'}: {SECONDS[0]} s {peaks[0]:.0f} MB, "
            f"{SECONDS[1]} s {peaks[1]:.0f} MB: {peaks[1] - peaks[0]:+.0f} MB",
            flush=True,
        )
