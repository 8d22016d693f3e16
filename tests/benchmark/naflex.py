"""Pictures of any aspect ratio: ``encoder/image=naflex_vit`` against ``vit`` on squares.

Run from the project's root: ``python tests/benchmark/naflex.py FOLDER``. Takes some minutes.
Draws pictures of 24 to 96 pixels a side with one of four shapes in one of four colors, and trains a
classifier of the 16 classes four times with the same sizes and the same number of samples: squares
by padding and by squashing, patches in batches of a fixed number of pictures, and in batches filled
by tokens. Prints the accuracy on 400 validation pictures, the seconds of CPU time of the training,
and the share of the patches of its batches that are padding.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

sys.path[:0] = [str(Path(__file__).parents[2])]

from mmtx_cli.data.sampling.budget_order import BudgetOrder  # noqa: E402
from mmtx_cli.media.naflex import grid  # noqa: E402

SHAPES = ("square", "disc", "triangle", "cross")
COLORS = {
    "red": (220, 40, 40),
    "green": (40, 180, 60),
    "blue": (50, 80, 220),
    "gold": (230, 180, 30),
}
TRAIN, VAL, PATCH, MOST, BATCH = 4000, 400, 8, 64, 32
COMMON = (
    "fusion=decision", "head=classification", "dim=64", "data.num_workers=0", "image_size=64",
    f"data.batch_size={BATCH}", "encoder.image.width=64", "encoder.image.depth=2",
    "encoder.image.num_heads=4", f"encoder.image.patch_size={PATCH}", "data.eval_batch_size=100",
    "trainer.monitor=val/classification/accuracy", "trainer.monitor_mode=max",
    "trainer.accelerator=cpu", "trainer.progress=false", "optimizer.lr=2e-3",
)  # fmt: skip
SQUARE = ("encoder/image=vit", "encoder.image.stem=patch")
PATCHES = (
    "encoder/image=naflex_vit", "encoder.image.grid_size=8", "data.resize_mode=naflex",
    f"data.max_patches={MOST}",
)  # fmt: skip
KINDS = {
    "vit, pad": (*SQUARE, "data.resize_mode=pad"),
    "vit, squash": (*SQUARE, "data.resize_mode=squash"),
    "naflex_vit": PATCHES,
    "naflex_vit, token_budget": (*PATCHES, f"data.token_budget={BATCH * MOST}"),
}


def draw(random: np.random.Generator, path: Path) -> tuple[str, tuple[int, int]]:
    """Write a picture; return its class and its size."""
    width, height = (int(side) for side in random.integers(24, 97, 2))
    noise = random.integers(90, 166, (height, width, 1)) + random.integers(
        -20, 21, (height, width, 3)
    )
    picture = Image.fromarray(noise.astype(np.uint8))
    shape, (name, color) = random.choice(SHAPES), list(COLORS.items())[random.integers(4)]
    size = int(random.integers(14, 23))
    x, y = (int(random.integers(0, side - size + 1)) for side in (width, height))
    pen, box = ImageDraw.Draw(picture), (x, y, x + size, y + size)
    third = size // 3
    if shape == "square":
        pen.rectangle(box, fill=color)
    elif shape == "disc":
        pen.ellipse(box, fill=color)
    elif shape == "triangle":
        pen.polygon([(x, y + size), (x + size, y + size), (x + size // 2, y)], fill=color)
    else:
        pen.rectangle((x + third, y, x + 2 * third, y + size), fill=color)
        pen.rectangle((x, y + third, x + size, y + 2 * third), fill=color)
    picture.save(path)
    return f"{name} {shape}", (height, width)


def make_data(folder: Path) -> list[tuple[int, int]]:
    """Write the pictures and the manifest; return the sizes of the training pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    random, sizes = np.random.default_rng(0), []
    with open(folder / "pictures.jsonl", "w") as file:
        for i in range(TRAIN + VAL):
            label, size = draw(random, folder / f"{i}.png")
            split = "train" if i < TRAIN else "val"
            row = {"id": str(i), "image": f"{i}.png", "label": label, "split": split}
            file.write(json.dumps(row) + "\n")
            sizes += [size] * (split == "train")
    return sizes


def padding(counts: np.ndarray, batches: list[np.ndarray]) -> float:
    """Return the share of the patches in batches that are padding."""
    used = sum(int(counts[batch].sum()) for batch in batches)
    return 1 - used / sum(len(batch) * int(counts[batch].max()) for batch in batches)


def children_seconds() -> float:
    """Return the CPU time of the processes that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Train all four, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--kinds", type=str, default=",".join(map(str, range(len(KINDS)))))
    options = parser.parse_args()
    sizes = make_data(options.folder / "data")
    counts = np.array([np.prod(grid(*size, PATCH, MOST)) for size in sizes])
    order = BudgetOrder(TRAIN, BATCH * MOST, 0, lambda epoch: counts[None])
    fixed = np.random.default_rng(0).permutation(TRAIN).reshape(-1, BATCH)
    print(
        f"padding: {padding(counts, list(fixed)):.3f} of the patches in batches of {BATCH} "
        f"pictures, {padding(counts, order.epoch(0)):.3f} with token_budget; squares of "
        f"{MOST} patches have {MOST / counts.mean():.2f} times the patches of the pictures"
    )
    before = 0.0
    for i in map(int, options.kinds.split(",")):
        name, args = list(KINDS.items())[i]
        run = options.folder / f"run{i}"
        subprocess.run(
            [sys.executable, "-m", "mmtx_cli", "finetune", *COMMON, *args, f"run_dir={run}",
             f"data.path={options.folder / 'data' / 'pictures.jsonl'}",
             f"trainer.max_epochs={options.epochs}"],
            check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": sys.path[0]},
        )  # fmt: skip
        seconds, before = children_seconds() - before, children_seconds()
        result = json.loads((run / "result.json").read_text())
        accuracy = result["metrics"]["val/classification/accuracy"]
        steps = result["steps"]
        print(f"{name}: accuracy {accuracy:.3f}, {steps} steps, {seconds:.0f} s of CPU time",
              flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
