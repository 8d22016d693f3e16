"""One sample of a data set, as read from a manifest row."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mmtx_cli.data.manifest.feature_reference import FeaturePlace

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Sample:
    """A validated manifest row; an absent modality or target is None or empty.

    Paths are absolute; ``start`` and ``end`` are seconds in the video, or in the audio if there is
    no video. ``label`` is a name, a number, or a tuple of names (multi-label; an empty tuple means
    that none applies). ``features`` are references to precomputed features, by modality.
    ``answers`` maps each answer to its weight. ``group`` is an optional tag by which metrics are
    also reported. ``line`` is the row's line in the manifest, from 1, and ``corpus`` the name of
    its data set if there are several.
    """

    id: str
    split: str
    image: tuple[str, ...] = ()
    video: str | None = None
    start: float | None = None
    end: float | None = None
    audio: str | None = None
    text: str | None = None
    captions: tuple[str, ...] = ()
    label: str | float | int | tuple[str, ...] | None = None
    answers: dict[str, float] = field(default_factory=dict)
    group: str | None = None
    features: dict[str, FeaturePlace] = field(default_factory=dict)
    line: int = 0
    corpus: str = ""

    def media(self) -> Iterator[tuple[str, str]]:
        """Yield (modality, path) of each image, video and audio file."""
        yield from (("image", path) for path in self.image)
        if self.video:
            yield "video", self.video
        if self.audio:
            yield "audio", self.audio

    @property
    def has_own_sound(self) -> bool:
        """True if the audio is the soundtrack of the sample's video."""
        return self.audio is not None and self.audio == self.video

    @property
    def sound_window(self) -> tuple[float | None, float | None]:
        """Start and end for the audio; (None, None) if it is a separate file beside a video."""
        if self.video is None or self.has_own_sound:
            return self.start, self.end
        return None, None


KEYS = tuple(name for name in Sample.__dataclass_fields__ if name not in ("line", "corpus"))
