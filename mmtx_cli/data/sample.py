"""One sample of a data set, as its row in the manifest says."""

from dataclasses import dataclass, field

SPLITS = ("train", "val", "test")


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of a manifest, checked; an absent modality or target is None or empty.

    Paths are absolute; ``start`` and ``end`` are seconds of the video. ``label`` is a name, a
    number, or a tuple of names (several at once; an empty tuple says that none applies).
    ``answers`` maps each answer to its weight. ``group`` is an optional tag by which metrics are
    reported too. ``line`` is the row's line in the manifest, from 1.
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
    line: int = 0


KEYS = tuple(name for name in Sample.__dataclass_fields__ if name != "line")
