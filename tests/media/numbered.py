"""Small videos whose frames say which they are: bars, black or white, spell the number."""

from collections.abc import Sequence
from fractions import Fraction

import av
import numpy as np

BITS, BAR, HEIGHT = 8, 8, 48
WIDTH = BITS * BAR


def picture(number: int) -> np.ndarray:
    """Bars of 8 pixels, the lowest bit on the left."""
    bits = np.array([number >> bit & 1 for bit in range(BITS)], dtype=np.uint8)
    row = (16 + 224 * bits).repeat(BAR)
    return np.broadcast_to(row[None, :, None], (HEIGHT, WIDTH, 3)).copy()


def number(frame) -> int:
    """Read the number from a frame [3, h, w] of any size, squashed."""
    width = frame.shape[-1] / BITS
    centers = [int((bit + 0.5) * width) for bit in range(BITS)]
    gray = frame.float().mean((0, 1))
    return sum(1 << bit for bit, x in enumerate(centers) if gray[x] > 128)


def write(
    path,
    ticks: Sequence[int],
    *,
    rate: int = 25,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    key_every: int = 12,
    sound: float = 0.0,
    muxing: dict[str, str] | None = None,
) -> str:
    """Write frames 0, 1, 2 … shown at ``ticks`` / ``rate`` s; ``sound`` seconds of silence."""
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = key_every
        stream.codec_context.time_base = Fraction(1, rate)
        if sound:
            track = container.add_stream("pcm_s16le", rate=8000)
            silence = av.AudioFrame.from_ndarray(
                np.zeros((1, int(8000 * sound)), np.int16), format="s16", layout="mono"
            )
            silence.sample_rate = 8000
            container.mux(track.encode(silence))
        for i, tick in enumerate(ticks):
            frame = av.VideoFrame.from_ndarray(picture(i))
            frame.pts, frame.time_base = tick, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return str(path)
