"""Encode frames and audio samples as an MP4 file with H.264 and AAC."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int16, UInt8

from mmtx_cli.errors import ConfigError
from mmtx_cli.synthetic.events.event import FRAME_RATE
from mmtx_cli.synthetic.events.soundtrack import SAMPLE_RATE


def write_video(
    path: Path,
    frames: UInt8[np.ndarray, "t h w 3"],
    audio: Int16[np.ndarray, " n"] | None,
) -> None:
    """Write a video, with an audio track unless ``audio`` is None. The sides must be even.

    Raises:
        ConfigError: if the installed PyAV has no H.264 encoder.
    """
    import av

    with av.open(str(path), "w", format="mp4") as file:
        stream = _video_stream(file, *frames.shape[1:3])
        # both tracks must exist before the first packet is written
        packets = [] if audio is None else _sound_packets(file, audio)
        for number, pixels in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FRAME_RATE)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        file.mux(packets)


def _video_stream(file: Any, height: int, width: int) -> Any:
    import av

    try:
        stream = file.add_stream("libx264", rate=FRAME_RATE)
    except av.codec.codec.UnknownCodecError as error:
        raise ConfigError(
            "the installed PyAV cannot write H.264 (no libx264); "
            "the wheel can: `pip install --force-reinstall --only-binary=av av`"
        ) from error
    stream.height, stream.width, stream.pix_fmt = height, width, "yuv420p"
    stream.options = {"preset": "veryfast", "crf": "20"}
    stream.codec_context.thread_count = 1  # many videos are written in parallel
    return stream


def _sound_packets(file: Any, audio: Int16[np.ndarray, " n"]) -> list[Any]:
    """Add an audio track and return its packets, to be written later."""
    import av

    track = file.add_stream("aac", rate=SAMPLE_RATE, layout="mono")
    track.bit_rate = 48000
    track.options = {"aac_coder": "fast"}
    block = av.AudioFrame.from_ndarray(audio[None], format="s16", layout="mono")
    block.sample_rate, block.pts, block.time_base = SAMPLE_RATE, 0, Fraction(1, SAMPLE_RATE)
    return [*track.encode(block), *track.encode(None)]
