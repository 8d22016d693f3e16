"""What a data set holds and what is wrong with it, told before anything trains."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from mmtx_cli.data.image import decode_image
from mmtx_cli.data.manifest import Manifest, Ratios, read_faulty
from mmtx_cli.data.progress import track
from mmtx_cli.data.sample import Sample
from mmtx_cli.data.summary import Summary, summarise
from mmtx_cli.data.unreadable import UnreadableError
from mmtx_cli.error import DataError

# starting processes takes longer than decoding this many pictures
_FEW = 64


def check_manifest(
    path: str | Path,
    *,
    root: str | Path | None = None,
    split: Ratios | None = None,
    seed: int = 0,
    allow_outside_root: bool = False,
    decode: bool = False,
    workers: int | None = None,
) -> Summary:
    """Read every row, with ``decode`` also every image in full, and sum the data set up.

    Raises:
        DataError: with all faults, each as ``file:line: what; what to do``.
    """
    manifest, faults = read_faulty(
        path, root=root, split=split, seed=seed, allow_outside_root=allow_outside_root
    )
    if decode:
        faults += _undecodable(manifest, workers)
    if faults:
        raise DataError(*faults)
    return summarise(manifest)


def _undecodable(manifest: Manifest, workers: int | None) -> list[str]:
    users: dict[str, list[Sample]] = {}
    for sample in manifest.samples:
        for path in sample.image:
            users.setdefault(path, []).append(sample)
    faults = []
    for path, reason in track(_reasons(list(users), workers), len(users), "images"):
        if reason is not None:
            first, *more = users[path]
            also = f" (and {len(more)} more rows)" if more else ""
            where = f"{manifest.where(first)}: image{also}: {path}"
            faults.append(f"{where}: {reason}; replace the file or remove the row")
    return faults


def _reasons(paths: list[str], workers: int | None) -> Iterator[tuple[str, str | None]]:
    """Yield each path with why it cannot be decoded, or None."""
    count = min(workers or os.cpu_count() or 1, len(paths) // _FEW + 1)
    if count == 1:
        yield from ((path, _reason(path)) for path in paths)
        return
    # own processes, so that a decoder that dies takes the check down with a message only
    with ProcessPoolExecutor(count, mp_context=get_context("spawn")) as pool:
        reasons: Iterable[str | None] = pool.map(_reason, paths, chunksize=16)
        try:
            yield from zip(paths, reasons, strict=True)
        except BrokenProcessPool as error:
            raise DataError(
                "a decoding process died, out of memory or by a hostile file; "
                "look for the file with workers=1"
            ) from error


def _reason(path: str) -> str | None:
    try:
        decode_image(path)
    except UnreadableError as error:
        return error.reason
    return None
