"""Estimates of how much data ``data.resize_mode=crop`` and ``audio_seconds`` discard."""

from collections.abc import Sequence
from statistics import median

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.facts import present, taken
from mmtx_cli.media.audio.array_decode import sound_seconds
from mmtx_cli.media.image import image_size
from mmtx_cli.media.video.facts import video_facts
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder

MAX_CROPPED = 0.25
"""A larger discarded fraction is reported."""
SAMPLED_FILES = 64
"""Number of files whose headers are read, evenly spaced over the rows."""
HEARD, SLACK = 16, 0.05
"""Number of audio files whose duration is read (for some by decoding), and tolerance in s."""


def crop_warning(samples: Sequence[Sample], modality: str, guard: IsolatedDecoder) -> str | None:
    """Return a message if more than a quarter of the median image or video is cropped away.

    Headers are read through ``guard``, since files are untrusted.
    """
    rows = taken(samples, present(samples, modality))
    sampled = rows[:: max(1, len(rows) // SAMPLED_FILES)][:SAMPLED_FILES]
    fraction = median([_cropped_fraction(row, modality, guard) for row in sampled] or [0.0])
    if fraction <= MAX_CROPPED:
        return None
    plural = "images" if modality == "image" else "videos"
    return (
        f"data.resize_mode=crop cuts off {100 * fraction:.0f} % of the {plural} at their "
        "longer sides "
        f"(median of {len(sampled)} sampled); data.resize_mode=pad or squash keeps "
        "everything"
    )


def truncation_warning(
    samples: Sequence[Sample], seconds: float, guard: IsolatedDecoder
) -> str | None:
    """Return a message if audio files are longer than ``seconds``, and are therefore cut."""
    rows = taken(samples, present(samples, "audio"))
    sampled = rows[:: max(1, len(rows) // HEARD)][:HEARD]
    lengths = [_length(row, guard) for row in sampled]
    longer = [length for length in lengths if length > seconds + SLACK]
    if not longer:
        return None
    return (
        f"audio_seconds={seconds:g} is shorter than {len(longer)} of {len(sampled)} sampled audio "
        f"files (longest: {max(longer):.3g} s): training uses a random part of each, a new one "
        "every epoch, and evaluation the middle; raise audio_seconds to use all of it"
    )


def _length(row: Sample, guard: IsolatedDecoder) -> float:
    """Return the duration of a row's audio in seconds; 0 if it cannot be read."""
    try:
        return guard.run(sound_seconds, str(row.audio), *row.sound_window)
    except Exception:  # reported when the file is decoded
        return 0.0


def _cropped_fraction(row: Sample, modality: str, guard: IsolatedDecoder) -> float:
    """Return the area fraction outside the central square; 0 if the file cannot be read."""
    try:
        if modality == "image":
            sides = guard.run(image_size, row.image[0])
        else:
            facts = guard.run(video_facts, str(row.video))
            sides = facts.width, facts.height
    except Exception:  # reported when the file is decoded
        return 0.0
    return 1 - min(sides) / max(sides)
