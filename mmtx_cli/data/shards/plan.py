"""Which sample goes into which shard: a function of the rows and of the sizes of their files."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np

from mmtx_cli.data.cache.content import state_of
from mmtx_cli.data.manifest.sample import KEYS, SPLITS, Sample
from mmtx_cli.data.shards.sample_files import Contents, ShardContent
from mmtx_cli.data.shards.tar_writer import Source, shard_name, tar_size
from mmtx_cli.media.regular_file import check_regular

MAX_SAMPLES = 10_000
"""Samples in a shard, however small they are."""
MEDIA = ("image", "video", "audio")


@dataclass(frozen=True)
class Packed:
    """A sample to pack: its key, its row without media, and its files."""

    key: str
    row: dict[str, Any]
    contents: Contents


def ordered(samples: Sequence[Sample], shuffle: bool, seed: int) -> list[Sample]:
    """Return the samples split by split, in random order if ``shuffle``.

    Samples that share their first file stay together, so that it is stored once.
    """
    result: list[Sample] = []
    for split in SPLITS:
        groups: dict[str, list[Sample]] = {}
        for sample in samples:
            if sample.split == split:
                first = next((path for _, path in sample.media()), f"\0{sample.id}")
                groups.setdefault(first, []).append(sample)
        lists = list(groups.values())
        if not shuffle:
            result += [sample for sample in samples if sample.split == split]
            continue
        order = np.random.Generator(np.random.Philox(seed)).permutation(len(lists))
        result += [sample for i in order for sample in lists[i]]
    return result


def shards_of(samples: Sequence[Sample], max_bytes: int) -> Iterator[list[Sample]]:
    """Yield the samples of each shard, of one split and at most ``max_bytes``.

    A sample that is larger has a shard of its own.

    Raises:
        UnreadableError: if a file is missing or empty.
    """
    shard: list[Sample] = []
    size, seen = 0, set[str]()
    for sample in samples:
        files = {path for _, path in sample.media()}
        new = tar_size(check_regular(path) for path in files - seen)
        ends = bool(shard) and (
            sample.split != shard[0].split or len(shard) >= MAX_SAMPLES or size + new > max_bytes
        )
        if ends:
            yield shard
            shard, size, seen = [], 0, set()
            new = tar_size(check_regular(path) for path in files)
        shard.append(sample)
        seen |= files
        size += new
    if shard:
        yield shard


def packed(sample: Sample, key: str, extra: dict[str, Any]) -> Packed:
    """Return how a sample is packed, with further columns of its row."""
    row: dict[str, Any] = {}
    for name in KEYS:
        value = getattr(sample, name)
        if name not in (*MEDIA, "features") and value not in (None, (), {}, ""):
            row[name] = list(value) if isinstance(value, tuple) else value
    if sample.label == ():
        row["label"] = []

    def source(path: str) -> tuple[str, Source]:
        return path, Source(path, check_regular(path))

    contents = Contents(
        [source(path) for path in sample.image],
        source(sample.video) if sample.video else None,
        source(sample.audio) if sample.audio else None,
    )
    return Packed(key, {**row, **extra}, contents)


@dataclass(frozen=True)
class ShardPlan:
    """A shard to write: its rows in the manifest, its members, and a digest of both."""

    name: str
    rows: list[dict[str, Any]]
    entries: list[tuple[str, Source]]
    digest: str


def plan_shard(number: int, samples: Sequence[Packed]) -> ShardPlan:
    """Return what a shard consists of."""
    content = ShardContent(shard_name(number))
    rows, entries = [], []
    for sample in samples:
        row, members = content.add(sample.key, sample.row, sample.contents)
        rows.append(row)
        entries += members
    digest = blake2b(digest_size=16)
    for name, source in entries:
        what = source.content
        state = [what, state_of(what, {})] if isinstance(what, str) else what.hex()
        digest.update(json.dumps([name, state]).encode() + b"\n")
    return ShardPlan(content.shard, rows, entries, digest.hexdigest())
