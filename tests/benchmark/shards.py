"""Samples per second from tar shards: mmtx against webdataset and litdata on the same pictures.

Run from the project's root: ``python tests/benchmark/shards.py``. Takes some minutes. Needs
``webdataset`` and ``litdata``. Each side decodes the same JPEGs (of ``$MMTX_TEST_DATA``, else
generated) to uint8 tensors of the same size in batches of 32, with two workers; webdataset with
Pillow and torchvision as its documentation shows, litdata likewise. ``raw`` yields bytes alone. The
sides take turns, epoch by epoch, and the medians of the epochs after the first are compared.

Also measured: opening a data set of 1,000 shards, and the private memory of mmtx's workers over ten
epochs.
"""

import argparse
import io
import multiprocessing
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader

sys.path[:0] = [str(Path(__file__).parents[2])]

from mmtx_cli.config.preprocessing import Preprocessing  # noqa: E402
from mmtx_cli.data.dataset import ManifestDataset  # noqa: E402
from mmtx_cli.data.loader import TrainSampler, make_loader  # noqa: E402
from mmtx_cli.data.manifest.read import read_manifest  # noqa: E402
from mmtx_cli.data.sampling.shard_order import ShardOrder, shard_paths  # noqa: E402
from mmtx_cli.data.shards.tar_writer import of_bytes, shard_name, write_tar  # noqa: E402
from mmtx_cli.data.shards.write import pack  # noqa: E402
from mmtx_cli.media.regular_file import open_regular  # noqa: E402
from mmtx_cli.media.shard.index import INDEX, ShardIndex, write_index  # noqa: E402
from mmtx_cli.media.shard.member_file import forget_shards, open_member  # noqa: E402

SIDE, BATCH, WORKERS = 224, 32, 2
SKIPPED = 16


def pictures(num: int, sizes: list[tuple[int, int]]) -> list[bytes]:
    """Return the bytes of ``num`` JPEGs: those of the test data, repeated, or generated ones.

    With ``sizes``, 200 of them are enlarged to these, in turn: people's pictures are larger than
    those of the test data.
    """
    data = Path(os.environ.get("MMTX_TEST_DATA", "../shared/data"))
    files = sorted((data / "flickr8k_mini" / "images").glob("*.jpg"))
    found = [path.read_bytes() for path in files]
    rng = np.random.default_rng(0)
    while not files and len(found) < 200:
        small = rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC).save(buffer, "JPEG")
        found.append(buffer.getvalue())
    if sizes:
        found = [enlarged(content, sizes[i % len(sizes)]) for i, content in enumerate(found[:200])]
    size = statistics.fmean(map(len, found)) / 1000
    kind = "real" if files else "generated"
    print(f"{len(found)} pictures ({kind}, {size:.0f} kB), repeated to {num}")
    return [found[i % len(found)] for i in range(num)]


def enlarged(content: bytes, size: tuple[int, int]) -> bytes:
    """Return a JPEG of another size."""
    buffer = io.BytesIO()
    image = Image.open(io.BytesIO(content)).convert("RGB")
    image.resize(size, Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def packed(folder: Path, contents: list[bytes], shards: int) -> Path:
    """Write the pictures as files, and pack them; return the manifest of the shards."""
    files = folder / "files"
    files.mkdir()
    rows = []
    for i, content in enumerate(contents):
        (files / f"{i}.jpg").write_bytes(content)
        rows.append(f'{{"id": "{i}", "split": "train", "image": "{i}.jpg"}}\n')
    (files / "all.jsonl").write_text("".join(rows))
    size = sum(map(len, contents)) / shards / 1e6
    return pack(
        {
            "manifest": str(files / "all.jsonl"),
            "out": str(folder / "shards"),
            "root": None,
            "split": None,
            "seed": 0,
            "allow_outside_root": False,
            "shard_size": max(size, 0.1),
            "shuffle": True,
        }
    )


def dataset(manifest: Path) -> ManifestDataset:
    """Return mmtx's data set of images."""
    samples = read_manifest(manifest).split("train")
    return ManifestDataset(
        samples, ("image",), (), Preprocessing(SIDE, "crop", "text", 8), None, training=True
    )


def ours(manifest: Path) -> Callable[[int], Iterable]:
    """Return a function that gives the batches of an epoch, as training loads them."""
    data = dataset(manifest)
    shards, _ = shard_paths(data.samples)
    order = ShardOrder(len(data), BATCH, 0, shards, 4)
    # one loader over all epochs, as in training: its workers live on
    batches = iter(make_loader(data, TrainSampler(data, order, 10**6), WORKERS))
    count = len(order)
    return lambda epoch: (next(batches).inputs["image"].data for _ in range(count))


class RawBytes(torch.utils.data.Dataset):
    """The bytes of each image."""

    def __init__(self, manifest: Path) -> None:
        self.paths = [sample.image[0] for sample in read_manifest(manifest).samples]

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, i: int) -> bytes:
        with open_regular(self.paths[i]) as file:
            return file.read()


def our_bytes(manifest: Path) -> Callable[[int], Iterable]:
    """Return a function that gives the raw bytes of an epoch in batches."""
    data = RawBytes(manifest)
    shards, _ = shard_paths(read_manifest(manifest).samples)
    order = ShardOrder(len(data), BATCH, 0, shards, 4)

    rows = [keys[:, 1].tolist() for keys in order.run(0, 100 * len(order), None)]
    batches = iter(DataLoader(data, batch_sampler=rows, num_workers=WORKERS, collate_fn=list))
    return lambda epoch: (next(batches) for _ in range(len(order)))


def pil_tensor(content: bytes) -> torch.Tensor:
    """Decode as the documentation of webdataset and torchvision shows."""
    from torchvision.transforms import functional as F

    image = Image.open(io.BytesIO(content)).convert("RGB")
    image = F.center_crop(F.resize(image, SIDE), [SIDE, SIDE])
    return F.pil_to_tensor(image)


def webdataset_of(manifest: Path, raw: bool) -> Callable[[int], Iterable]:
    """Return a function that gives an epoch of webdataset over the same shards."""
    import webdataset as wds

    shards = [str(path) for path in sorted(manifest.parent.glob("*.tar"))]
    data = wds.WebDataset(shards, shardshuffle=len(shards), seed=0).shuffle(1000)
    data = data.to_tuple("jpg") if raw else data.to_tuple("jpg").map_tuple(pil_tensor)
    collate = list if raw else (lambda rows: torch.stack([row[0] for row in rows]))
    loader = wds.WebLoader(
        data.batched(BATCH, collation_fn=collate),
        num_workers=WORKERS,
        batch_size=None,
        persistent_workers=True,
        prefetch_factor=4,
    )
    return lambda epoch: loader


def litdata_of(folder: Path, contents: list[bytes]) -> Callable[[int], Iterable]:
    """Write the pictures in litdata's format; return a function that gives an epoch."""
    import litdata
    from litdata.streaming.writer import BinaryWriter

    out = folder / "litdata"
    writer = BinaryWriter(str(out), chunk_bytes="32MB")
    for i, content in enumerate(contents):
        writer.add_item(i, {"image": content})
    writer.done()
    writer.merge()

    class Pictures(litdata.StreamingDataset):
        def __getitem__(self, index: object) -> torch.Tensor:
            return pil_tensor(super().__getitem__(index)["image"])

    data = Pictures(str(out), shuffle=True)
    loader = litdata.StreamingDataLoader(
        data, batch_size=BATCH, num_workers=WORKERS, prefetch_factor=4, persistent_workers=True
    )
    return lambda epoch: loader


def cpu_seconds() -> float:
    """Return the processor time of this process and all workers so far."""
    ticks = 0
    for process in (None, *multiprocessing.active_children()):
        stat = Path(f"/proc/{process.pid if process else 'self'}/stat").read_text()
        ticks += sum(map(int, stat.rpartition(")")[2].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


def rate(batches: Iterable) -> tuple[float, float]:
    """Return samples per second of an epoch and per processor second, after the first batches.

    Those were loaded ahead, or include the start of the workers.
    """
    begin, used, count = 0.0, 0.0, 0
    for number, batch in enumerate(batches):
        if number == SKIPPED:
            begin, used = time.perf_counter(), cpu_seconds()
        count += len(batch) if number > SKIPPED else 0
    return count / (time.perf_counter() - begin), count / (cpu_seconds() - used)


def compare(title: str, sides: dict[str, Callable[[int], Iterable]], epochs: int) -> None:
    """Print the median rates of the sides, whose epochs alternate."""
    rates: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
    for epoch in range(epochs):
        for name, side in sides.items():
            rates[name].append(rate(side(epoch)))
    for which, unit in enumerate(("second", "processor second")):
        found = {name: [pair[which] for pair in pairs[1:]] for name, pairs in rates.items()}
        mine = statistics.median(found["mmtx"])
        print(f"{title}, samples per {unit}")
        for name, values in found.items():
            median = statistics.median(values)
            spread = f"{min(values):,.0f} to {max(values):,.0f}"
            print(f"  {name:11} {median:9,.0f} ({spread}), mmtx is {mine / median:.2f} times")


def startup(folder: Path) -> None:
    """Print how long opening 1,000 shards of 1,000 members takes."""
    parts = []
    for i in range(1000):
        entries = [(f"{i * 10 + k:09d}.jpg", of_bytes(b"x" * 64)) for k in range(10)]
        parts.append(write_tar(folder / shard_name(i), entries))
    write_index(folder / INDEX, parts)
    forget_shards()
    begin = time.perf_counter()
    index = ShardIndex(str(folder))
    opened = time.perf_counter() - begin
    for facts in index.shards:
        open_member(f"{folder}/{facts.name}::{index.shards.index(facts) * 10:09d}.jpg").close()
    whole = time.perf_counter() - begin
    print(f"1,000 shards: index {opened * 1000:.0f} ms; a member of each read {whole:.2f} s")


def memory(manifest: Path) -> None:
    """Print the private memory of the workers after each of ten epochs."""
    data = dataset(manifest)
    shards, _ = shard_paths(data.samples)
    order = ShardOrder(len(data), BATCH, 0, shards, 4)
    batches = iter(make_loader(data, TrainSampler(data, order, 10**6), WORKERS))
    used = []
    for _ in range(10):
        for _ in range(len(order)):
            next(batches)
        used.append(max(private_mb(w.pid) for w in batches.batches._workers))
    print("private MB of the larger worker after each epoch:", *(f"{mb:.0f}" for mb in used))


def private_mb(pid: int) -> float:
    """Return the private memory of a process in MB."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024


def main() -> None:
    """Run all measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=4000, help="pictures")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument(
        "--sizes", nargs="*", default=[], help="of the pictures, e.g. 500x375 1920x1080"
    )
    args = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    contents = pictures(args.num, [tuple(map(int, size.split("x"))) for size in args.sizes])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        manifest = packed(folder, contents, shards=16)
        (folder / "many").mkdir()
        startup(folder / "many")
        sides = {
            "mmtx": ours(manifest),
            "webdataset": webdataset_of(manifest, raw=False),
            "litdata": litdata_of(folder, contents),
        }
        compare(f"decoded to {SIDE} x {SIDE}", sides, args.epochs)
        raw = {"mmtx": our_bytes(manifest), "webdataset": webdataset_of(manifest, raw=True)}
        compare("raw bytes", raw, args.epochs)
        memory(manifest)


if __name__ == "__main__":
    main()
