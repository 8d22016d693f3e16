"""Cards of samples with the captions of one or several systems."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmtx_cli.report.rounding import rounded
from mmtx_cli.report.sound import SoundClip, Sounds
from mmtx_cli.report.thumbnail import Thumbnail, Thumbnails
from mmtx_cli.report.verdict import Verdict


@dataclass(frozen=True)
class SystemCaption:
    """A caption, its system ("" if there is only one), and its value of the ranking metric."""

    system: str
    caption: str
    value: float | None


@dataclass(frozen=True)
class Sample:
    """A sample with the captions of all systems.

    Args:
        id: Its id.
        media: Its files by modality.
        captions: The caption of each system.
        references: Its references.
        metric: Name of the metric of the values.
        segment: Start and end, in seconds, of the part of a film or sound; None for all of it.
    """

    id: str
    media: Mapping[str, Path]
    captions: Sequence[SystemCaption]
    references: Sequence[str]
    metric: str
    segment: tuple[float, float] | None = None


@dataclass(frozen=True)
class SamplePart:
    """A titled row of samples."""

    title: str
    samples: Sequence[Sample]


@dataclass(frozen=True)
class SampleCard:
    """A sample as the template shows it; the captions are system, text and value."""

    id: str
    pictures: list[Thumbnail]
    sound: SoundClip | None
    captions: list[tuple[str, str, str]]
    verdict: Verdict


def cards(part: SamplePart, thumbnails: Thumbnails, sounds: Sounds) -> list[SampleCard]:
    """Return the cards of a part, with thumbnails of pictures and films, and sounds to play."""
    return [_card(sample, thumbnails, sounds) for sample in part.samples]


def _card(sample: Sample, thumbnails: Thumbnails, sounds: Sounds) -> SampleCard:
    media, segment = sample.media, sample.segment or (None, None)
    return SampleCard(
        sample.id,
        [thumbnails(media[name], *segment) for name in ("image", "video") if name in media],
        sounds(media["audio"], *segment) if "audio" in media else None,
        [
            (
                own.system,
                own.caption,
                f"{sample.metric} {rounded(own.value)}" if sample.metric else "",
            )
            for own in sample.captions
        ],
        Verdict("caption", "", list(sample.references), "reference"),
    )
