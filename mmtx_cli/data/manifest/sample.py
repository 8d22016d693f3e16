"""One sample of a data set, as its row in the manifest says."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mmtx_cli.data.manifest.feature_reference import FeaturePlace

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of a manifest, checked; an absent modality or target is None or empty.

    Paths are absolute; ``start`` and ``end`` are seconds of the video, or of a sound without one.
    ``label`` is a name, a number, or a tuple of names (several at once; an empty tuple says that
    none applies). ``features`` are vectors that were extracted before, by modality.
    ``answers`` maps each answer to its weight. ``group`` is an optional tag by which metrics are
    reported too. ``line`` is the row's line in the manifest, from 1, ``corpus`` the name of its
    data set where there are several.
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
        """(modality, path) of each picture, video and sound."""
        yield from (("image", path) for path in self.image)
        if self.video:
            yield "video", self.video
        if self.audio:
            yield "audio", self.audio

    @property
    def has_own_sound(self) -> bool:
        """Is the sound that of its own video?"""
        return self.audio is not None and self.audio == self.video

    @property
    def sound_window(self) -> tuple[float | None, float | None]:
        """Start and end for the sound: of a video and a sound apart, they are the video's."""
        if self.video is None or self.has_own_sound:
            return self.start, self.end
        return None, None


KEYS = tuple(name for name in Sample.__dataclass_fields__ if name not in ("line", "corpus"))
