"""How much of a data set's files ``data.fit=crop`` and ``audio_seconds`` leave out."""

from collections.abc import Sequence
from statistics import median

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.media.audio.decode import sound_seconds
from mmtx_cli.media.image import image_size
from mmtx_cli.media.video.decode import video_facts
from mmtx_cli.media.worker.isolated_decoder import Guard

MOST = 0.25
"""A larger share that is cut away is told."""
LOOKED_AT = 64
"""Files whose headers are read, spread evenly over the rows."""
HEARD, SLACK = 16, 0.05
"""Sounds whose lengths are read (of some by decoding), and what more no one misses, in s."""


def cropped(samples: Sequence[Sample], modality: str, guard: Guard) -> str | None:
    """Say what share of the median picture (or film) is cut away, if it is more than a quarter.

    Headers are read by ``guard``: a file may be anything.
    """
    rows = [sample for sample in samples if getattr(sample, modality)]
    seen = rows[:: max(1, len(rows) // LOOKED_AT)][:LOOKED_AT]
    lost = median([_lost(row, modality, guard) for row in seen] or [0.0])
    if lost <= MOST:
        return None
    things = "pictures" if modality == "image" else "films"
    return (
        f"data.fit=crop cuts {100 * lost:.0f} % of the {things} away at their longer sides (median "
        f"of {len(seen)} looked at); data.fit=pad and data.fit=squash keep all of them"
    )


def shortened(samples: Sequence[Sample], seconds: float, guard: Guard) -> str | None:
    """Say how many sounds are longer than ``seconds``, and what is heard of them, if any is."""
    rows = [sample for sample in samples if sample.audio]
    seen = rows[:: max(1, len(rows) // HEARD)][:HEARD]
    lengths = [_length(row, guard) for row in seen]
    longer = [length for length in lengths if length > seconds + SLACK]
    if not longer:
        return None
    return (
        f"audio_seconds={seconds:g} is less than {len(longer)} of {len(seen)} sounds looked at "
        f"last (the longest {max(longer):.3g} s): training hears a random part of each, another "
        "one every epoch, evaluation the middle; raise audio_seconds to hear all"
    )


def _length(row: Sample, guard: Guard) -> float:
    """Seconds of a row's sound; 0 where it cannot be read."""
    try:
        return guard.run(sound_seconds, str(row.audio), *row.sound_window)
    except Exception:  # told when it is decoded
        return 0.0


def _lost(row: Sample, modality: str, guard: Guard) -> float:
    """The share of a file's area beside its central square; 0 where it cannot be read."""
    try:
        if modality == "image":
            sides = guard.run(image_size, row.image[0])
        else:
            facts = guard.run(video_facts, str(row.video))
            sides = facts.width, facts.height
    except Exception:  # a file that cannot be read is told when it is decoded
        return 0.0
    return 1 - min(sides) / max(sides)
