"""Validation of a data set: manifest rows and, on request, all files."""

import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mmtx_cli.data.duplicate_files import content_leaks
from mmtx_cli.data.features.validate import unreadable_features
from mmtx_cli.data.manifest.read import Manifest, read_faulty
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.splits import Ratios
from mmtx_cli.data.manifest.summary import Summary, summarize
from mmtx_cli.errors import DataError
from mmtx_cli.io.progress import track
from mmtx_cli.media.errors import OutsideError, UnreadableError
from mmtx_cli.media.image import decode_image
from mmtx_cli.media.shard.member_file import check_member
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.media.worker.limits import DecodeLimits

Medium = tuple[str, str, float | None, float | None]
"""Path, kind, start and end."""

_SIDE = 64  # side of decoded frames in pixels; small, since only readability is checked


def check_manifest(
    path: str | Path,
    *,
    root: str | Path | None = None,
    split: Ratios | None = None,
    seed: int = 0,
    allow_outside_root: bool = False,
    decode: bool = False,
    workers: int | None = None,
    limits: DecodeLimits | None = None,
) -> Summary:
    """Validate every row and, with ``decode``, every file, and summarize the data set.

    Images, audio and features are read in full; videos are sampled like model input. Identical
    files and near-duplicate images in different splits cause warnings.

    Args:
        path: The manifest.
        root: Folder that paths are relative to (see ``read_manifest``).
        split: Split ratios for rows without a split.
        seed: Seed of split assignment.
        allow_outside_root: Whether paths and links may leave the root.
        decode: Whether to read the files.
        workers: Number of decoding processes (default: one per core).
        limits: Limits on reading one file.

    Raises:
        DataError: with all faults, each as ``file:line: what; what to do``.
    """
    manifest, faults = read_faulty(
        path, root=root, split=split, seed=seed, allow_outside_root=allow_outside_root
    )
    if decode:
        limits = limits or DecodeLimits()
        faults += _undecodable(manifest, workers, limits)
        faults += unreadable_features(manifest, limits)
    if faults:
        raise DataError(*faults)
    summary = summarize(manifest)
    if decode:
        summary.warnings.extend(content_leaks(manifest, limits))
    return summary


def _undecodable(manifest: Manifest, workers: int | None, limits: DecodeLimits) -> list[str]:
    users: dict[Medium, list[Sample]] = {}
    for sample in manifest.samples:
        for medium in _media(sample):
            users.setdefault(medium, []).append(sample)
    faults = []
    reasons = _reasons(list(users), workers, limits)
    for medium, reason in track(reasons, len(users), "files"):
        if reason is not None:
            path, modality, *_ = medium
            first, *more = users[medium]
            also = f" (and {len(more)} more rows)" if more else ""
            where = f"{manifest.where(first)}: {modality}{also}: {path}"
            faults.append(f"{where}: {reason}; replace the file or remove the row")
    return faults


def _media(sample: Sample) -> Iterator[Medium]:
    for path in sample.image:
        yield path, "image", None, None
    if sample.video:
        yield sample.video, "video", sample.start, sample.end
    if sample.audio:
        yield sample.audio, "sound track" if sample.has_own_sound else "audio", *sample.sound_window


def _reasons(
    media: Sequence[Medium], workers: int | None, limits: DecodeLimits
) -> Iterator[tuple[Medium, str | None]]:
    """Yield each file with the reason why it cannot be decoded, or None.

    Every thread has its own decoding process, so that a crash or timeout is attributed to a file.
    """
    if any(modality != "image" for _, modality, *_ in media):
        from mmtx_cli.media.backend import load_decoders

        load_decoders()
    thread_local, guards = threading.local(), []

    def reason(medium: Medium) -> str | None:
        if not hasattr(thread_local, "guard"):
            thread_local.guard = IsolatedDecoder(limits.seconds, memory=limits.bytes)
            guards.append(thread_local.guard)
        try:
            return thread_local.guard.run(_reason, *medium, limits.pixels)
        except UnreadableError as error:
            return error.reason

    with ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool:
        yield from zip(media, pool.map(reason, media), strict=True)
    for guard in guards:
        guard.close()


def _reason(
    path: str, modality: str, start: float | None, end: float | None, max_pixels: int
) -> str | None:
    try:
        check_member(path, whole=True)
        match modality:
            case "image":
                decode_image(path, max_pixels=max_pixels)
            case "video":  # imported on demand: checking images does not need torch
                from mmtx_cli.media.video.decode import decode_video
                from mmtx_cli.media.video.frame_sampling import Sampling

                decode_video(path, Sampling(), _SIDE, "crop", start, end)
            case "audio" | "sound track":
                from mmtx_cli.media.audio.array_decode import check_sound

                check_sound(path, start, end)
    except OutsideError as error:  # a video may be longer than its soundtrack
        return None if modality == "sound track" else error.reason
    except UnreadableError as error:
        return error.reason
    return None
