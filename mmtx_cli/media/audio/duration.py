"""Length of an audio stream by its header, and how reliable that is."""

from dataclasses import dataclass

import av

from mmtx_cli.media.audio.mp3 import declares_frames

# formats whose headers give the length of each stream
_EXACT = {"aiff", "ape", "au", "caf", "flac", "mov", "ogg", "tak", "tta", "w64", "wav", "wv"}
# formats for which FFmpeg divides the size of the file by a bit rate
_GUESSED = {"aac", "ac3", "amr", "amrnb", "amrwb", "dts", "eac3", "loas", "mp3", "swf", "truehd"}


@dataclass(frozen=True)
class ToldLength:
    """A header's length in seconds from the beginning of the file; None if it gives none.

    ``exact``: the audio cannot be shorter. ``guessed``: estimated from the file size. Neither:
    the length of the whole file, video included.
    """

    seconds: float | None
    exact: bool = False
    guessed: bool = False


def declared_length(
    path: str,
    container: av.container.InputContainer,
    stream: av.AudioStream,
    begins: float,
) -> ToldLength:
    """Read the length of an audio stream from the header.

    Args:
        path: Audio or video file.
        container: The opened file.
        stream: Audio stream to measure.
        begins: Timestamp of the beginning of the file in seconds.
    """
    kind = container.format.name.partition(",")[0]
    whole = None if container.duration is None else container.duration / av.time_base
    duration = stream.duration
    if kind in _GUESSED and not (kind == "mp3" and declares_frames(path)):
        return ToldLength(whole, guessed=True)
    if kind in _EXACT | {"mp3"} and duration is not None and stream.time_base is not None:
        stream_start = (
            0.0 if stream.start_time is None else float(stream.start_time * stream.time_base)
        )
        return ToldLength(
            float(duration * stream.time_base) + max(0.0, stream_start - begins), exact=True
        )
    return ToldLength(whole, exact=len(container.streams) == 1 and kind == "matroska")
