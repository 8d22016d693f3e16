"""A plan on paper: contrastive training on a billion pairs with 1,024 GPUs.

``python tests/benchmark/scale_plan.py`` prints the tables of docs/scale.md. Every figure is
computed from the constants below, which are measured, cited, or assumptions marked as such.
``--measure`` measures those that this machine can measure: the CPU time of reading a picture, and
the bytes of a row of a table of samples (set MMTX_TEST_DATA for Flickr8k's pictures and captions).
"""

import argparse
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

Row = tuple[str, str, str]
"""What, how much, and how it is computed."""

# the task, chosen
PAIRS, EPOCHS, GPUS, GPUS_PER_NODE, BATCH = 10**9, 13, 1024, 8, 65_536
# CLIP ViT-L/14 (Radford et al. 2021): parameters, and multiply-adds of a forward pass of one pair
PARAMETERS, EMBEDDING = 427_616_513, 768
IMAGE_MACS, TEXT_MACS = 80.7e9, 6.6e9
PEAK = 989e12
"""Dense bfloat16 FLOP/s of an H100 SXM (NVIDIA's data sheet)."""
UTILIZATION = 0.3
"""Assumption: share of the peak that a step reaches; tests/benchmark/gpu_steps.py measures it."""
NETWORK = 50e9
"""Bytes/s of a GPU's link to other nodes: 400 Gbit/s, as in the cluster of Llama 3."""
# the data
PICTURE_BYTES = 30e3
"""Assumption: a JPEG whose shorter side is 256 pixels."""
PAIRS_PER_SHARD = 10_000
# measured here with --measure
CPU_SECONDS = 1.27e-3
ROW_BYTES = 99
# failures: unexpected interruptions, GPUs and days of Llama 3 405B (Dubey et al. 2024, 3.3.4)
INTERRUPTIONS, THEIR_GPUS, THEIR_DAYS = 419, 16_384, 54
RESTART = 600.0
"""Assumption: seconds from a failure to the first new step."""
DISK = 1e9
"""Assumption: bytes/s that a node writes to shared storage."""
SAVE_STALL = 5.0
"""Assumption: seconds that a save of all shards stops the training, besides writing."""


def times(number: float, unit: str = "") -> str:
    """Return a number with three digits and a prefix of its size."""
    for size, prefix in ((1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size and unit in ("B", "B/s", "FLOP"):
            return f"{number / size:.3g} {prefix}{unit}"
    text = f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.3g}"
    return f"{text} {unit}".strip()


def pair_flop() -> float:
    """Return the floating-point operations of training on one pair: forward, and twice backward."""
    return 3 * 2 * (IMAGE_MACS + TEXT_MACS)


def pairs_per_second() -> float:
    """Return the pairs that all GPUs train on in a second."""
    return GPUS * PEAK * UTILIZATION / pair_flop()


def step_seconds() -> float:
    """Return the duration of a step without waiting for data or other GPUs."""
    return BATCH / pairs_per_second()


def data_rows() -> Iterator[Row]:
    """Yield the shards and the speed at which they must be read."""
    nodes, rate = GPUS // GPUS_PER_NODE, pairs_per_second()
    shards = PAIRS // PAIRS_PER_SHARD
    yield "pictures and captions", times(PAIRS * PICTURE_BYTES, "B"), "pairs x 30 kB"
    size = times(PAIRS_PER_SHARD * PICTURE_BYTES, "B")
    yield "tar shards", f"{shards:,} of {size}", "10,000 pairs each"
    yield "shards per node", times(shards / nodes), f"{nodes} nodes of {GPUS_PER_NODE} GPUs"
    yield "pairs per second, all GPUs", times(rate), "GPUs x peak x 0.3 / FLOP of a pair"
    yield "reading, per node", times(rate / nodes * PICTURE_BYTES, "B/s"), "pairs/s x 30 kB / nodes"
    yield (
        "cores for decoding, per node",
        times(rate / nodes * CPU_SECONDS),
        f"{1e3 * CPU_SECONDS:.3g} ms of CPU time per picture, measured",
    )


def index_rows() -> Iterator[Row]:
    """Yield the sizes of what grows with the number of pairs."""
    yield (
        "table of samples (on disk, memory-mapped)",
        times(PAIRS * ROW_BYTES, "B"),
        (f"{ROW_BYTES} B per row, measured"),
    )
    yield "keys of the ids, per process", times(PAIRS * 8, "B"), "8 B per row"
    yield "permutation of an epoch, per process", times(PAIRS * 8, "B"), "8 B per row"
    yield "the same for each node", times(2 * PAIRS * 8 * GPUS_PER_NODE, "B"), "x 8 processes"
    yield (
        "order of shards instead of rows, per process",
        times(8 * (PAIRS // PAIRS_PER_SHARD + PAIRS_PER_SHARD), "B"),
        "8 B per shard, and per row of the open shard",
    )


def step_rows() -> Iterator[Row]:
    """Yield the computation and the communication of a step."""
    ring = 2 * (GPUS - 1) / GPUS
    others, gradients = BATCH * (GPUS - 1) / GPUS, PARAMETERS * 4
    yield "pairs per GPU", times(BATCH / GPUS), "batch of 65,536"
    yield "computation", f"{1e3 * step_seconds():.3g} ms", "batch / pairs per second"
    gathered = others * EMBEDDING * 4
    yield "embeddings gathered, received per GPU", times(gathered, "B"), "keys of one modality"
    yield (
        "their gradients, all-reduced, sent per GPU",
        times(ring * BATCH * EMBEDDING * 4, "B"),
        "2 (n - 1) / n of the batch's embeddings",
    )
    yield "their gradients, reduce-scattered instead", times(gathered, "B"), "(n - 1) / n"
    yield (
        "ring exchange of keys and their gradients",
        times(2 * gathered, "B"),
        ("the same bytes as gathering and reduce-scattering, in n - 1 parts"),
    )
    yield "memory of the gathered keys", times(BATCH * EMBEDDING * 4, "B"), "float32"
    yield "memory of the keys in a ring", times(2 * BATCH / GPUS * EMBEDDING * 4, "B"), "two parts"
    yield (
        "normalizers, gathered, received per GPU",
        times(4 * BATCH * (GPUS - 1), "B"),
        ("4 B for each key from each GPU"),
    )
    yield (
        "normalizers, all-reduced (maximum and sum)",
        times(2 * ring * 4 * BATCH, "B"),
        ("what the loss does"),
    )
    yield "gradients, all-reduced (DDP), sent per GPU", times(ring * gradients, "B"), "float32"
    yield (
        "of that, time on the network, DDP",
        f"{1e3 * ring * gradients / NETWORK:.3g} ms",
        "50 GB/s",
    )
    fsdp = 3 * (GPUS - 1) / GPUS * PARAMETERS * 2
    yield "FSDP: weights twice, gradients once", times(fsdp, "B"), "bfloat16"
    yield "of that, time on the network, FSDP", f"{1e3 * fsdp / NETWORK:.3g} ms", "50 GB/s"
    seconds = EPOCHS * PAIRS / pairs_per_second()
    yield "steps", times(EPOCHS * PAIRS / BATCH), "13 epochs"
    yield "training", f"{seconds / 3600:.3g} h", "if communication and data are hidden"


def failure_rows() -> Iterator[Row]:
    """Yield the failures, the best interval between saves, and the work that is lost."""
    daily = INTERRUPTIONS / THEIR_DAYS / THEIR_GPUS * GPUS
    between = 86_400 / daily
    size = 3 * 4 * PARAMETERS
    nodes = GPUS // GPUS_PER_NODE
    one, sharded = SAVE_STALL + size / DISK, SAVE_STALL + size / nodes / DISK
    yield "checkpoint", times(size, "B"), "weights and both moments of AdamW, float32"
    yield "checkpoint with average weights (ema)", times(size * 4 / 3, "B"), "one more copy"
    yield "saving from one process", f"{one:.3g} s", "1 GB/s, and 5 s"
    yield "saving shards from every node", f"{sharded:.3g} s", "1 GB/s per node, and 5 s"
    yield "failures per day", times(daily), "419 in 54 days on 16,384 GPUs, scaled"
    yield "time between failures", f"{between / 3600:.3g} h", "24 h / failures per day"
    for name, cost in (("one process", one), ("shards", sharded)):
        best = math.sqrt(2 * cost * between)
        lost = cost / best + best / 2 / between + RESTART / between
        yield f"best interval, {name}", f"{best / 60:.3g} min", "Young 1974: sqrt(2 x save x MTBF)"
        yield f"save_every, {name}", f"{best / step_seconds():,.0f} steps", "interval / step"
        yield f"work lost, {name}", f"{100 * lost:.2f} %", "saves, half an interval, 10 min restart"


SECTIONS = {
    "Data": data_rows,
    "Index": index_rows,
    "A step": step_rows,
    "Failures and checkpoints": failure_rows,
}


def plan() -> str:
    """Return the tables in Markdown."""
    lines = []
    for title, rows in SECTIONS.items():
        lines += [f"## {title}", "", "| | | computed from |", "| --- | --- | --- |"]
        lines += [f"| {what} | {value} | {how} |" for what, value, how in rows()]
        lines.append("")
    return "\n".join(lines)


def measure() -> None:
    """Print the constants that this machine can measure."""
    import pyarrow as pa

    from mmtx_cli.config.preprocessing import Preprocessing
    from mmtx_cli.data.dataset import ManifestDataset
    from mmtx_cli.data.loader import EvaluationSampler, make_loader
    from mmtx_cli.data.manifest.sample import Sample
    from mmtx_cli.media.image import image_size

    folder = Path(os.environ["MMTX_TEST_DATA"]) / "flickr8k_mini"
    files = [path for path in sorted((folder / "images").iterdir()) if path.suffix == ".jpg"]
    large = [str(path) for path in files if min(image_size(str(path))) >= 256][:200]
    rows = [Sample(id=path, split="train", image=(path,)) for path in large]
    samples = ManifestDataset(rows, ("image",), (), Preprocessing(text=None), None)
    for _ in range(2):  # the first pass warms up
        start = time.process_time()
        for _ in make_loader(samples, EvaluationSampler(samples, 50), 0):
            pass
    seconds = (time.process_time() - start) / len(large)
    print(f"CPU_SECONDS = {seconds:.2e}  # {len(large)} pictures of at least 256 pixels")
    lines = (folder / "captions.token.txt").read_text().splitlines()
    captions = [line.split("\t")[1] for line in lines]
    columns = {
        "id": [f"{i:09}" for i in range(len(captions))],
        "image": [f"{i // 10_000:06}.tar::{i % 10_000:06}.jpg" for i in range(len(captions))],
        "captions": captions,
    }
    print(f"ROW_BYTES = {pa.table(columns).nbytes / len(captions):.0f}  # {len(captions)} rows")


def main() -> None:
    """Print the plan, or measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure instead")
    if parser.parse_args().measure:
        measure()
    else:
        print(plan())


if __name__ == "__main__":
    main()
