"""Compare what ``plan=true`` says with the run that follows, for shipped configurations.

Run from the project's root: ``python tests/benchmark/plan.py``. Takes about twenty minutes on two
cores. Each configuration is planned and then run on small generated data, back to back; the table
has the memory and the time of the run and the ratio of the plan to them. On a machine that does
other work, the time of a run varies by itself: ``--repeat 2`` repeats those that are off.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CLOSE = {"memory": 0.15, "time": 0.25}
SCENES, EVENTS, LAB = "data.path=scenes/scenes.jsonl", "data.path=events/events.jsonl", "lab"

DATA = {
    "scenes": ("dataset=scenes", "num=1200", "size=64"),
    "events": ("dataset=events", "num=150", "size=64"),
    "lab": ("dataset=fusion_lab", "num=2000"),
    "encoder_lab": ("dataset=encoder_lab", "task=image_shape", "num=1500", "size=32"),
}
STEPS = "trainer.max_steps={} trainer.val_every={}"
PRETRAIN, CAPTION = "pretrain experiment=scenes_pretrain", "finetune experiment=scenes_caption"
CASES = {
    "scenes_pretrain": f"{PRETRAIN} {SCENES} {STEPS.format(60, 30)}",
    "scenes_pretrain, batch 256": f"{PRETRAIN} {SCENES} data.batch_size=256 {STEPS.format(20, 10)}",
    "scenes_pretrain, checkpointing": (
        f"{PRETRAIN} {SCENES} trainer.activation_checkpointing=true {STEPS.format(40, 40)}"
    ),
    "scenes_pretrain, micro-batches": (
        f"{PRETRAIN} {SCENES} trainer.encoder_micro_batch=16 {STEPS.format(40, 40)}"
    ),
    "scenes_caption": f"{CAPTION} {SCENES} run_dir=captioner {STEPS.format(80, 40)}",
    "scenes_caption, 4 batches a step, EMA": (
        f"{CAPTION} {SCENES} trainer.accumulate_grad_batches=4 trainer.ema=0.99 "
        f"{STEPS.format(20, 20)}"
    ),
    "scenes_caption, no workers": f"{CAPTION} {SCENES} data.num_workers=0 {STEPS.format(60, 60)}",
    "events_caption": f"finetune experiment=events_caption {EVENTS} {STEPS.format(40, 40)}",
    "fusion_lab": (
        "finetune experiment=fusion_lab fusion=concat data.path=lab/fusion_lab.jsonl "
        f"{STEPS.format(150, 50)}"
    ),
    "encoder_lab": (
        "finetune experiment=encoder_lab encoder/image=vit "
        f"data.path=encoder_lab/encoder_lab.jsonl {STEPS.format(150, 75)}"
    ),
    "eval of scenes_caption": f"eval ckpt=captioner {SCENES} split=train data.limit_samples=600",
    "caption of scenes": "caption ckpt=captioner inputs=scenes/images",
}


def mmtx(folder: Path, words: list[str]) -> tuple[float, float]:
    """Run a command; return its seconds and the peak memory of its main process in bytes."""
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH")) if p)
    begun = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "mmtx_cli", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    errors = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"mmtx {' '.join(words)} failed:\n{errors.decode()[-2000:]}")
    return time.perf_counter() - begun, usage.ru_maxrss * 1024


def make_data(folder: Path) -> None:
    """Generate the data sets."""
    for name, words in DATA.items():
        if not (folder / name).exists():
            mmtx(folder, ["data", "action=create", f"out={name}", *words])


def compared(folder: Path, name: str, command: str) -> dict[str, float]:
    """Plan and run a configuration; return the figures of both."""
    words = command.split()
    run_dir = next((word for word in words if word.startswith("run_dir=")), None)
    words = [word for word in words if word != run_dir]
    place = run_dir or f"run_dir=run-{time.monotonic_ns()}"
    mmtx(folder, [*words, place, "plan=true"])
    path = folder / place.partition("=")[2]
    plan = json.loads((path / "plan.json").read_text())
    seconds, memory = mmtx(folder, [*words, place])
    return {
        "memory": memory,
        "time": seconds,
        "planned memory": plan["memory_bytes"]["peak"],
        "planned time": plan["seconds"]["total"],
    }


def off(figures: dict[str, float]) -> float:
    """Return how far the plan is off, relative to what counts as close."""
    return max(
        abs(figures[f"planned {key}"] / figures[key] - 1) / most for key, most in CLOSE.items()
    )


def main() -> None:
    """Print a row for each configuration, then how many are close."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=0, help="tries more of those that are off")
    parser.add_argument("--folder", type=Path, help="where to work (default: temporary)")
    parser.add_argument("--only", default="", help="part of the names of configurations")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    make_data(folder)
    print("| configuration | memory of the run | plan | time of the run | plan |")
    print("| --- | ---: | ---: | ---: | ---: |", flush=True)
    close = dict.fromkeys(CLOSE, 0)
    cases = {name: command for name, command in CASES.items() if options.only in name}
    for name, command in cases.items():
        best = compared(folder, name, command)
        for _ in range(options.repeat):
            if off(best) <= 1 or "run_dir=" in command:
                break
            best = min(best, compared(folder, name, command), key=off)
        ratios = {key: best[f"planned {key}"] / best[key] for key in CLOSE}
        for key, most in CLOSE.items():
            close[key] += abs(ratios[key] - 1) <= most
        print(
            f"| {name} | {best['memory'] / 1e6:.0f} MB | × {ratios['memory']:.2f} "
            f"| {best['time']:.1f} s | × {ratios['time']:.2f} |",
            flush=True,
        )
    for key, most in CLOSE.items():
        print(f"{key} within {most:.0%}: {close[key]} of {len(cases)}")


if __name__ == "__main__":
    main()
