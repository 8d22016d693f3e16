"""How long a sound lasts before it is decoded, and how far that can be relied on."""

from dataclasses import dataclass

import av

from mmtx_cli.media.audio.mp3 import told_frames

# whose headers tell the length of each stream
_EXACT = {"aiff", "ape", "au", "caf", "flac", "mov", "ogg", "tak", "tta", "w64", "wav", "wv"}
# for which FFmpeg divides the size of the file by a bit rate
_GUESSED = {"aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "loas", "mp3", "swf", "truehd"}


@dataclass(frozen=True)
class ToldLength:
    """Seconds from the file's beginning, if they are told at all.

    ``exact``: the sound cannot be shorter. ``guessed``: by the size of the file; neither: the
    length of the whole file, with its pictures.
    """

    seconds: float | None
    exact: bool = False
    guessed: bool = False


def told_length(
    path: str,
    container: av.container.InputContainer,
    stream: av.AudioStream,
    begins: float,
) -> ToldLength:
    """Read the header's length; ``begins`` is the time stamp of the file's beginning."""
    kind = container.format.name.partition(",")[0]
    whole = None if container.duration is None else container.duration / av.time_base
    own = stream.duration
    if kind in _GUESSED and not (kind == "mp3" and told_frames(path)):
        return ToldLength(whole, guessed=True)
    if kind in _EXACT | {"mp3"} and own is not None and stream.time_base is not None:
        late = 0.0 if stream.start_time is None else float(stream.start_time * stream.time_base)
        return ToldLength(float(own * stream.time_base) + max(0.0, late - begins), exact=True)
    return ToldLength(whole, exact=len(container.streams) == 1 and kind == "matroska")
