"""What CLIPScore needs of a model: captions and media in one space of vectors."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from mmtx_cli.scoring.neural.settings import MODALITIES

Unread = dict[int, str]
"""Why an input could not be read, by its index."""

STREAMS: Mapping[str, tuple[str, ...]] = {
    "image": ("image", "video"),
    "video": ("video", "image", "audio"),
    "audio": ("audio",),
}
"""By modality of a file, the streams as which a model may read it, the first that it has. A model
without a video encoder reads frames, one that only hears reads the soundtrack."""


class File(NamedTuple):
    """A file of a sample: its modality there, and the stream as which a model reads it.

    ``start`` and ``end`` are the seconds of the part of a film or sound; None for all of it.
    """

    modality: str
    stream: str
    path: str
    start: float | None = None
    end: float | None = None


class DualEncoder(ABC):
    """A model that embeds captions and media in one space.

    ``streams`` are the kinds of media that are compared with text; ``limit`` is the largest number
    of tokens of a text; ``prefix`` is put before captions by default.
    """

    streams: Sequence[str]
    limit: int | None = None
    prefix: str = ""

    @abstractmethod
    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text, if nothing is cut."""

    @abstractmethod
    def texts(self, texts: Sequence[str]) -> Float[np.ndarray, "b d"]:
        """Return the vectors of texts, which are cut to the limit."""

    @abstractmethod
    def media(self, files: Sequence[File]) -> tuple[Float[np.ndarray, "b d"], Unread]:
        """Return the vectors of files of one stream; 0 for unreadable ones, with the reasons."""

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Return what identifies the model and how it reads media, for ``result.json``."""


def file_of(
    media: Mapping[str, Any],
    streams: Sequence[str],
    modality: str | None,
    segment: tuple[float, float] | None = None,
) -> File | None:
    """Return the file of a sample that is compared with captions; None if none fits.

    Args:
        media: The files of a sample by modality.
        streams: What the model compares with text.
        modality: The modality to use; None: the first of image, video and audio that fits.
        segment: Start and end of the part of the film, or of the sound if there is no film.
    """
    for name in MODALITIES if modality is None else (modality,):
        for stream in STREAMS[name] if name in media else ():
            if stream in streams:
                whole = name == "image" or (
                    name == "audio" and media.get("video", media["audio"]) != media["audio"]
                )
                times = (None, None) if whole or segment is None else segment
                return File(name, stream, str(media[name]), *times)
    return None
