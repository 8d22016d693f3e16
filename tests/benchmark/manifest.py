"""Measure how long a large manifest takes to read, to open again and to train on, and the memory.

Run from the project's root: ``python tests/benchmark/manifest.py FOLDER --rows 10000000``. Needs
about 600 bytes of disk per row. ``--list`` reads it as a list of Python objects, as small manifests
are, ``--step`` also waits for the first training step, twice: the first run trains
the tokenizer and tokenizes the captions, the second one opens what the first has stored.
Each measurement is a process of its own; processor time is that of all its processes.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[2])]

COLORS = ("red", "green", "blue", "dark", "bright", "small", "large", "old", "new", "wet")
THINGS = ("dog", "cat", "horse", "tree", "car", "house", "man", "woman", "child", "boat")
NUM_IMAGES, SIDE = 200, 32
OPEN = """
import json, resource, sys, time
from mmtx_cli.data.manifest.read import read_manifest
begun = time.perf_counter()
manifest = read_manifest(sys.argv[1])
sizes = {split: len(manifest.split(split)) for split in ("train", "val")}
seconds = time.perf_counter() - begun
pages = dict(line.split()[:2] for line in list(open("/proc/self/smaps_rollup"))[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
dirty = int(pages["Private_Dirty:"]) // 1024
print(json.dumps({"seconds": round(seconds, 2), "private_mb": dirty, "peak_mb": peak, **sizes}))
"""
ARGUMENTS = (
    "experiment=scenes_pretrain",
    "head=contrastive",
    "image_size=32",
    "dim=32",
    "encoder.image.width=32",
    "encoder.text.width=32",
    "encoder.image.depth=1",
    "encoder.text.depth=1",
    "data.batch_size=64",
    "data.num_workers=1",
    "trainer.max_steps=2",
    "trainer.log_every=1",
    "trainer.accelerator=cpu",
)


def make_manifest(path: Path, rows: int) -> None:
    """Write a manifest with one image and one caption of about 60 characters a row."""
    from PIL import Image

    draw = random.Random(0)
    images = path.parent / "images"
    images.mkdir(exist_ok=True)
    for i in range(NUM_IMAGES):
        color = tuple(draw.randrange(256) for _ in range(3))
        Image.new("RGB", (SIDE, SIDE), color).save(images / f"{i:04}.jpg")
    parts = [f"a {c} {t} near a" for c in COLORS for t in THINGS]
    with path.open("w", encoding="utf-8") as file:
        for i in range(rows):
            caption = f"{parts[i % 100]} {parts[i // 100 % 100]} {COLORS[i % 7]} sign {i % 997}"
            split = "train" if i % 10_000 else "val"
            file.write(
                f'{{"id": "sample-{i:09}", "split": "{split}", '
                f'"image": "images/{i % NUM_IMAGES:04}.jpg", "captions": ["{caption}"]}}\n'
            )


def measured(command: list[str], **env: str) -> tuple[str, float, float]:
    """Run a command; return its output, its seconds and its seconds of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    done = subprocess.run(
        command, env=os.environ | env, check=True, stdout=subprocess.PIPE, text=True
    )
    seconds = time.perf_counter() - begun
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, seconds, used


def report(name: str, output: str, seconds: float, used: float) -> None:
    """Print one measurement."""
    print(f"{name}: {seconds:.1f} s, processor {used:.1f} s {output.strip()}", flush=True)


def peak_of(output: str) -> str:
    """Return the peak memory in the output of ``/usr/bin/time``-like wrapper, if any."""
    match = re.search(r"PEAK (\d+)", output)
    return f"peak {match[1]} MB" if match else ""


def first_step(path: Path, folder: Path, env: dict[str, str]) -> tuple[str, float, float]:
    """Train for two steps."""
    shutil.rmtree(folder, ignore_errors=True)
    wrapper = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
        "stdout=subprocess.DEVNULL); "
        "print('PEAK', resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)"
    )
    mmtx = [sys.executable, "-m", "mmtx_cli", "pretrain", f"data.path={path}", *ARGUMENTS]
    output, seconds, used = measured(
        [sys.executable, "-c", wrapper, *mmtx, f"run_dir={folder}"], **env
    )
    return peak_of(output), seconds, used


def main() -> None:
    """Measure everything."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--step", action="store_true")
    options = parser.parse_args()
    rows, folder = options.rows, options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{rows}.jsonl"
    if not path.exists():
        make_manifest(path, rows)
    shutil.rmtree(folder / "cache", ignore_errors=True)
    env = {"MMTX_MANIFEST_CACHE": str(folder / "cache"), "PYTHONPATH": str(Path.cwd())}
    kinds = [("table", "0")]
    if options.list:
        kinds.insert(0, ("list", str(10**12)))
    for kind, least in kinds:
        env["MMTX_TABLE_ROWS"] = least
        for turn in ("first", "second"):
            command = [sys.executable, "-c", OPEN, str(path)]
            report(f"{kind}, {turn} opening", *measured(command, **env))
        if options.step:
            for turn in ("first", "second"):
                found = first_step(path, folder / "run", env)
                report(f"{kind}, two steps, {turn} run", *found)
    size = sum(p.stat().st_size for p in (folder / "cache").rglob("*") if p.is_file())
    print(
        json.dumps({"rows": rows, "manifest_mb": path.stat().st_size >> 20, "cache_mb": size >> 20})
    )


if __name__ == "__main__":
    main()
