"""Detection of files with identical or similar content, which leak between splits."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.split_leaks import leaks
from mmtx_cli.io.progress import track
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image_reader import read_picture
from mmtx_cli.media.regular_file import check_regular, open_regular
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.media.worker.limits import DecodeLimits

MEDIA = ("image", "video", "audio")
_THUMB, _PARTS = 8, 4
_MAX_BUCKET = 1000
"""Maximum number of images stored per hash part, since many plain images share one."""
_MAX_DIFFERENCE = 6.0
"""Maximum mean absolute difference (of 255) between thumbnails of near-duplicates."""


def same_content(paths: Iterable[str]) -> dict[str, bytes]:
    """Return digests of files that share their size with another file; others are unique."""
    sizes: dict[int, list[str]] = defaultdict(list)
    for path in dict.fromkeys(paths):
        try:
            sizes[check_regular(path)].append(path)
        except UnreadableError:  # reported when the file is read
            continue
    candidates = [path for group in sizes.values() if len(group) > 1 for path in group]
    return {path: _digest(path) for path in candidates}


def content_leaks(manifest: Manifest, limits: DecodeLimits | None = None) -> list[str]:
    """Return warnings of identical files, else of near-duplicate images, in different splits.

    ``limits`` apply to each image.
    """
    limits = limits or DecodeLimits()
    samples = manifest.samples
    digests = same_content(path for sample in samples for _, path in sample.media())
    if warnings := _cross_split_leaks(
        manifest, "with the same content", lambda _, path: digests.get(path)
    ):
        return warnings  # skip decoding the images
    pictures = [path for sample in samples for path in sample.image]
    tracked = track(dict.fromkeys(pictures), len(set(pictures)), "comparing images")
    guard = IsolatedDecoder(limits.seconds, memory=limits.bytes)
    thumbnails = {path: _thumbnail(guard, path, limits.pixels) for path in tracked}
    guard.close()
    groups = _near_duplicates(
        {path: thumbnail for path, thumbnail in thumbnails.items() if thumbnail is not None}
    )

    def near_duplicate_group(kind: str, path: str) -> Hashable | None:
        return groups.get(path) if kind == "image" else None

    return _cross_split_leaks(manifest, "that look the same", near_duplicate_group)


def connected_rows(
    rows: Sequence[Mapping[str, Any]], keys: Sequence[Hashable | None] = ()
) -> list[list[int]]:
    """Return groups of row indices connected by identical files or equal ``keys``.

    ``keys`` has one entry per row; None matches nothing.
    """
    files = [[(path, name) for name in MEDIA for path in _paths(row.get(name))] for row in rows]
    digests = same_content(path for row_files in files for path, _ in row_files)
    group = list(range(len(rows)))  # union-find: each row points to a smaller index in its group

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = i = group[group[i]]
        return i

    first: dict[Hashable, int] = {}
    for i, row_files in enumerate(files):
        shared: list[Hashable] = [digests.get(path, path) for path, _ in row_files]
        if keys and keys[i] is not None:
            shared.append((keys[i],))
        for key in shared:
            other = root(first.setdefault(key, i))
            low, high = sorted((other, root(i)))
            group[high] = low
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(len(rows)):
        groups[root(i)].append(i)
    return [members for members in groups.values() if len(members) > 1]


def _cross_split_leaks(
    manifest: Manifest, what: str, content: Callable[[str, str], Hashable | None]
) -> list[str]:
    """Return warnings of different files in different splits with the same content."""

    def inputs(sample: Sample) -> Iterator[tuple[str, str, Hashable]]:
        for kind, path in sample.media():
            if (identity := content(kind, path)) is not None:
                yield kind, path, identity

    return [
        f"leak: {leak.count} {leak.kind} files {what} in {' and '.join(leak.splits)}, e.g. "
        + " and ".join(f"{n} ({p})" for n, p in zip(leak.names, leak.places, strict=True))
        for leak in leaks(manifest, inputs, renamed=True)
    ]


def _paths(value: str | Sequence[str] | None) -> Iterator[str]:
    yield from [value] if isinstance(value, str) else value or ()


def _digest(path: str) -> bytes:
    digest = blake2b(digest_size=16)
    with open_regular(path) as file:
        while part := file.read(1 << 20):
            digest.update(part)
    return digest.digest()


def _thumbnail(
    guard: IsolatedDecoder, path: str, max_pixels: int
) -> UInt8[np.ndarray, "8 9 3"] | None:
    """Return a box-filtered thumbnail of an image, or None if it cannot be read."""
    try:
        picture = Image.fromarray(read_picture(guard, path, 4 * _THUMB, max_pixels))
    except UnreadableError:
        return None
    return np.asarray(picture.resize((_THUMB + 1, _THUMB), Image.Resampling.BOX))


def _near_duplicates(thumbnails: Mapping[str, UInt8[np.ndarray, "8 9 3"]]) -> dict[str, int]:
    """Return a number for each image that near-duplicates share.

    Near-duplicates have thumbnails with a small mean difference, and agree in at least one of the
    four parts of their difference hash (which of two neighboring pixels is brighter; Krawetz
    2013), so that only few pairs are compared.
    """
    buckets: dict[tuple[int, bytes], list[tuple[int, np.ndarray]]] = defaultdict(list)
    groups: dict[str, int] = {}
    for number, (path, pixels) in enumerate(thumbnails.items()):
        thumbnail = pixels.astype(np.int16)
        bits = np.diff(thumbnail.sum(axis=2), axis=1) > 0
        parts = [(i, np.packbits(part).tobytes()) for i, part in enumerate(np.split(bits, _PARTS))]
        matches = (
            group
            for part in parts
            for group, other in buckets[part]
            if np.abs(thumbnail - other).mean() <= _MAX_DIFFERENCE
        )
        groups[path] = next(matches, number)
        for part in parts:
            if groups[path] == number and len(buckets[part]) < _MAX_BUCKET:
                buckets[part].append((number, thumbnail))
    return groups
