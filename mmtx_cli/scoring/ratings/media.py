"""The files of rated samples: columns of a table, or the pictures of Flickr8k."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmtx_cli.errors import DataError
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.files.caption_file import CaptionFile, Media
from mmtx_cli.scoring.files.media import files_of
from mmtx_cli.scoring.files.texts import is_nan

MODALITIES = ("image", "video", "audio")
TIMES = ("start", "end")


def media_in(cells: Mapping[str, Any], faults: list[str]) -> Media | None:
    """Return the files that a row of a table names, None without any; add the faults of its cells.

    A row may have one file of each modality, and the times of a segment in seconds.
    """
    given = {name: cells.get(name) for name in (*MODALITIES, *TIMES)}
    filled = {
        name: value
        for name, value in given.items()
        if value not in (None, "") and not is_nan(value)
    }
    paths = {name: value for name, value in filled.items() if name in MODALITIES}
    faults += [
        f"{name} is {repr(value)[:40]}; write the path of one file"
        for name, value in paths.items()
        if not isinstance(value, str)
    ]
    times = [_seconds(filled[name]) for name in TIMES if name in filled]
    # a time that is not one is NaN, which compares as False
    if paths and times and not (len(times) == 2 and 0 <= times[0] < times[1]):
        faults.append(
            f"start is {given['start']!r} and end {given['end']!r}; write both in seconds, or none"
        )
        return None
    found = {name: (str(value),) for name, value in paths.items()}
    if not found:
        return None
    return Media(found, times[0], times[1]) if times else Media(found)


def _seconds(value: Any) -> float:
    """Return a number of seconds, NaN if it is none."""
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def with_media(
    captions: Captions, media: Sequence[Media | None], path: Path, images: Path | None
) -> tuple[Captions, list[str]]:
    """Return the captions with their files, and notes about files that are not used.

    Args:
        captions: n captions.
        media: [n] their files as written, with one path a modality.
        path: The table; without ``images``, paths are relative to its folder.
        images: Folder that paths are relative to.

    Raises:
        DataError: if there is no such folder.
    """
    check_images(images)
    named = dict(zip(captions.ids, media, strict=True))
    source = CaptionFile(path, media={name: own for name, own in named.items() if own is not None})
    if not source.media:
        return captions, []
    files = files_of(source, images)
    found: list[Mapping[str, Path]] = [
        {modality: own[0] for modality, own in files.get(name, {}).items()} for name in captions.ids
    ]
    segments = [
        None if own is None or own.start is None or own.end is None else (own.start, own.end)
        for own in media
    ]
    return replace(captions, media=found, segments=segments), source.all_notes()


def check_images(images: Path | None) -> None:
    """Raise DataError if the folder of the images does not exist."""
    if images is not None and not images.is_dir():
        raise DataError(f"images={images}: no such folder; set the folder of the images")
