"""A folder of JPEGs to normalised batches of 64, 224 x 224, by two workers.

``ImageFolder`` with torchvision's v2 transforms and a ``DataLoader`` against mmtx's samples and
loader. Theirs comes in two forms: resizing Pillow's pictures, the default of torchvision's
own reference training, and resizing bytes in tensors. The rate of decoding alone is that of the
same decoder at the same scale in two processes, and nothing else.
"""

import json
import time
from collections.abc import Callable
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
import torch
from paired import paired_ratio, report
from PIL import Image
from torch.utils.data import DataLoader

from mmtx_cli.data.image import decode_image

BATCH, SIZE, WORKERS = 64, 224, 2
KINDS = {(500, 375): 1024, (1920, 1080): 320}
"""Width and height, and how many of them."""


def make_folder(folder: Path, width: int, height: int, count: int) -> Path:
    """Noise at many scales, as photographs have it, of some thirty pictures; and a manifest."""
    draw = np.random.default_rng(0)
    (folder / "one").mkdir(parents=True)
    distinct = []
    for _ in range(32):
        layers = [
            np.asarray(
                Image.fromarray(draw.integers(0, 256, (n, n, 3), dtype=np.uint8)).resize(
                    (width, height), Image.Resampling.BICUBIC
                ),
                dtype=np.float32,
            )
            for n in (3, 9, 27, 81, 243)
        ]
        mixed = np.average(layers, axis=0, weights=[16, 8, 4, 2, 1])
        distinct.append(Image.fromarray(mixed.astype(np.uint8)))
    with open(folder / "all.jsonl", "w") as rows:
        for i in range(count):
            distinct[i % 32].save(folder / "one" / f"{i:05}.jpg", quality=90)
            row = {"id": f"{i:05}", "split": "test", "image": f"one/{i:05}.jpg"}
            rows.write(json.dumps(row) + "\n")
    return folder


def by_torchvision(folder: Path, count: int, tensors: bool) -> Callable[[], None]:
    """One pass of their loader; ``tensors`` says what is resized: bytes, or Pillow's pictures."""
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    small = [v2.Resize(SIZE, antialias=True), v2.CenterCrop(SIZE)]
    transform = v2.Compose([
        *([v2.ToImage(), *small] if tensors else [*small, v2.PILToTensor()]),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    ])  # fmt: skip
    loader = DataLoader(ImageFolder(str(folder), transform), BATCH, num_workers=WORKERS)
    return lambda: expect(count, sum(len(pictures) for pictures, _ in loader))


def by_mmtx(folder: Path, count: int) -> Callable[[], None]:
    """One pass of an evaluation's loader, with the model's normalisation."""
    from mmtx_cli.data.dataset import Samples
    from mmtx_cli.data.loader import EvaluationSampler, make_loader
    from mmtx_cli.data.manifest import read_manifest
    from mmtx_cli.data.preparation import Preparation
    from mmtx_cli.layer.pixels import Pixels

    rows = read_manifest(folder / "all.jsonl").split("test")
    samples = Samples(rows, ("image",), (), Preparation(image_size=SIZE, text=None), None)
    loader = make_loader(samples, EvaluationSampler(samples, BATCH), WORKERS)
    pixels = Pixels()
    return lambda: expect(count, sum(len(pixels(batch.inputs["image"].data)) for batch in loader))


def expect(count: int, found: int) -> None:
    """No side may leave pictures out."""
    if found != count:
        raise RuntimeError(f"{found} of {count} pictures")


def decode_only(path: str) -> None:
    """Only the decoder's work, with reading the file."""
    decode_image(path, SIZE)


def by_decoder(folder: Path, pool: Pool) -> Callable[[], None]:
    """Every file decoded by two processes."""
    paths = [str(path) for path in sorted((folder / "one").iterdir())]

    def run() -> None:
        pool.map(decode_only, paths, chunksize=16)

    return run


def pictures(folder: Path, rounds: int) -> None:
    """Ratios for small and large pictures; a pass includes the start of its workers."""
    for (width, height), count in KINDS.items():
        place = make_folder(folder / f"{width}x{height}", width, height, count)
        ours = by_mmtx(place, count)
        name = f"pictures of {width} x {height}"
        for tensors, form in ((False, "Pillow's resizing"), (True, "resizing bytes")):
            ratio = paired_ratio(by_torchvision(place, count, tensors), ours, rounds)
            report(f"{name}: ImageFolder, {form} / mmtx", *ratio)
        with Pool(WORKERS) as pool:
            alone = by_decoder(place, pool)
            alone()
            begun = time.perf_counter()
            alone()
            seconds = time.perf_counter() - begun
            ratio = paired_ratio(alone, ours, rounds)
        report(f"{name}: decoding alone ({count / seconds:.0f} a second) / mmtx", *ratio)
