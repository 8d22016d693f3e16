"""A folder of JPEGs to normalized batches of 64, 224 x 224, by two workers.

``ImageFolder`` with torchvision's v2 transforms and a ``DataLoader`` against mmtx's samples and
loader. Theirs comes in two forms: resizing Pillow's pictures, the default of torchvision's
own reference training, and resizing bytes in tensors. Decoding alone is done in two processes at
the same scale, by Pillow and by mmtx's own decoder, and nothing else.
"""

import json
from collections.abc import Callable, Mapping
from multiprocessing.pool import Pool
from pathlib import Path

import numpy as np
import torch
from paired import paired_ratio, report
from PIL import Image
from torch.utils.data import DataLoader

from mmtx_cli.media.image import decode_image

BATCH, SIZE, WORKERS = 64, 224, 2
SMALL, LARGE = (500, 375), (1920, 1080)
FOLDERS = {
    "500 x 375 and 1920 x 1080": {SMALL: 512, LARGE: 512},
    "500 x 375": {SMALL: 2048},
    "1920 x 1080": {LARGE: 640},
}
"""What a folder holds: how many pictures of which width and height."""


def make_folder(folder: Path, sizes: Mapping[tuple[int, int], int]) -> Path:
    """Pictures, some thirty different ones of each size, and a manifest."""
    (folder / "one").mkdir(parents=True)
    names = []
    for (width, height), count in sizes.items():
        distinct = drawn(width, height)
        for i in range(count):
            names.append(f"one/{i:05}-{width}.jpg")
            distinct[i % len(distinct)].save(folder / names[-1], quality=90)
    rows = ({"id": name, "split": "test", "image": name} for name in sorted(names))
    (folder / "all.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def drawn(width: int, height: int) -> list[Image.Image]:
    """Noise at many scales, as photographs have it."""
    draw = np.random.default_rng(0)
    made = []
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
        made.append(Image.fromarray(mixed.astype(np.uint8)))
    return made


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
    """One pass of an evaluation's loader, with the model's normalization."""
    from mmtx_cli.config.preprocessing import Preprocessing
    from mmtx_cli.data.dataset import ManifestDataset
    from mmtx_cli.data.loader import EvaluationSampler, make_loader
    from mmtx_cli.data.manifest.read import read_manifest
    from mmtx_cli.layer.input.pixel_norm import Pixels

    rows = read_manifest(folder / "all.jsonl").split("test")
    samples = ManifestDataset(rows, ("image",), (), Preprocessing(image_size=SIZE, text=None), None)
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


def decode_by_pillow(path: str) -> None:
    """The same by Pillow's own DCT-scaled decoding."""
    with Image.open(path) as image:
        image.draft(None, (SIZE, SIZE))
        image.load()


def decoded(folder: Path, pool: Pool, decode: Callable[[str], None]) -> Callable[[], None]:
    """Every file decoded by two processes."""
    paths = [str(path) for path in sorted((folder / "one").iterdir())]

    def run() -> None:
        pool.map(decode, paths, chunksize=16)

    return run


def pictures(folder: Path, rounds: int) -> None:
    """Ratios for each folder; a pass includes the start of its workers."""
    for sizes, counts in FOLDERS.items():
        place, count = make_folder(folder / sizes, counts), sum(counts.values())
        ours = by_mmtx(place, count)
        name = f"pictures of {sizes}"
        for tensors, form in ((False, "Pillow's resizing"), (True, "resizing bytes")):
            ratio = paired_ratio(by_torchvision(place, count, tensors), ours, rounds)
            report(f"{name}: ImageFolder, {form} / mmtx", *ratio)
        with Pool(WORKERS) as pool:
            for decode, form in ((decode_by_pillow, "Pillow"), (decode_only, "mmtx's decoder")):
                ratio = paired_ratio(decoded(place, pool, decode), ours, rounds)
                report(f"{name}: decoding alone by {form} / mmtx", *ratio)
