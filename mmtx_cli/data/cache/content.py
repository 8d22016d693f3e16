"""Identification of cached contents: the content's name and the file state it was read in."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from jaxtyping import UInt64

from mmtx_cli.data.manifest.feature_reference import place_row
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.shard.member_file import place_of
from mmtx_cli.media.shard.reference import is_reference


@dataclass(frozen=True)
class ContentKeys:
    """64-bit hashes of each content's ``name`` and of its ``state`` when it was read.

    For files, the name is the path (with the start and end of a clip), and the state is size and
    modification time. Rows with the same content share one entry, whatever their ids.
    """

    name: UInt64[np.ndarray, " n"]
    state: UInt64[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.name)


def media_contents(rows: Sequence[Sample], modality: str, features: bool = False) -> ContentKeys:
    """Return the contents of a modality's files (or features) for rows that have the modality."""
    inputs = [content_identity(row, modality, features) for row in rows]
    names = [hash_pair(identity)[0] for identity, _ in inputs]
    state_cache: dict[str, list[int]] = {}
    states = [hash_pair([state_of(path, state_cache) for path in paths])[0] for _, paths in inputs]
    return ContentKeys(np.array(names, dtype=np.uint64), np.array(states, dtype=np.uint64))


def text_contents(texts: Sequence[str]) -> ContentKeys:
    """Return the contents of texts; name and state are both hashes of the text."""
    hashes = [hash_pair(text) for text in texts]
    pairs = np.array(hashes, dtype=np.uint64).reshape(-1, 2)
    return ContentKeys(pairs[:, 0].copy(), pairs[:, 1].copy())


def content_identity(row: Sample, modality: str, features: bool) -> tuple[Any, list[str]]:
    """Return a row's description of a modality, and the files in it."""
    if features:
        place = row.features[modality]
        return place_row(place), [place.path]
    if modality == "image":
        return list(row.image), list(row.image)
    if modality == "video":
        return [row.video, row.start, row.end], [str(row.video)]
    assert modality == "audio", modality
    return [row.audio, *row.sound_window, row.has_own_sound], [str(row.audio)]


def state_of(path: str, state_cache: dict[str, list[int]]) -> list[int]:
    """Return size and mtime (ns) of a file, empty if missing; ``state_cache`` caches the result.

    The state of a member of a tar shard is its size and checksum, or its shard's mtime without one.
    """
    if is_reference(path):
        return _state_of_member(path)
    if path not in state_cache:
        try:
            stat = os.stat(path)
            state_cache[path] = [stat.st_size, stat.st_mtime_ns]
        except OSError:
            state_cache[path] = []
    return state_cache[path]


def _state_of_member(reference: str) -> list[int]:
    try:
        _, shard, place = place_of(reference)
    except UnreadableError:
        return []
    return [place.size, shard.mtime_ns if place.crc is None else place.crc]


def hash_pair(value: Any) -> tuple[int, int]:
    """Return a 128-bit hash of a JSON value as two 64-bit integers."""
    digest = blake2b(json.dumps(value).encode(), digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")
