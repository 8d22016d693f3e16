"""FFmpeg's side of a sound: packets, mono samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from jaxtyping import Float

from mmtx_cli.media.container import open_container
from mmtx_cli.media.errors import UnreadableError

_LOST = 0.1  # seconds in all that may be undecodable
# FFmpeg's names of samples, their types and full scale; planar ones have a "p" behind
_KINDS = {
    "u8": (np.uint8, 128),
    "s16": (np.int16, 32768),
    "s32": (np.int32, 2147483648),
    "flt": (np.float32, 1),
    "dbl": (np.float64, 1),
}


@dataclass
class Block:
    """Decoded samples, the mean of ``channels``; ``time`` is the time stamp of the first."""

    time: float | None
    rate: int
    channels: int
    samples: Float[np.ndarray, " k"]


def best_audio(path: str, container: av.container.InputContainer) -> av.AudioStream:
    """FFmpeg's choice of the audio streams; the packets of all others are not read."""
    best = container.streams.best("audio")
    if best is None:
        raise UnreadableError(path, "no audio stream that can be decoded")
    for stream in container.streams:
        if stream is not best and hasattr(av.stream, "Discard"):  # since PyAV 17.1
            stream.discard = av.stream.Discard.all
    assert isinstance(best, av.AudioStream)
    return best


def decoded(
    path: str, container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[Block]:
    """Decode from where the container is to the end.

    Raises:
        UnreadableError: if it is damaged; a few packets that cannot be decoded are passed over.
    """
    failed, lost, begun = 0.0, 0.0, False
    for packet in _packets(path, container, stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            if begun:  # before its first frame a decoder may have begun in the middle
                failed += float((packet.duration or 0) * packet.time_base)
            continue
        except av.error.EOFError:  # the second last packet, after the loop in _packets
            return
        except av.FFmpegError as error:
            raise UnreadableError(path, _reason(error)) from error
        for frame in frames:
            assert isinstance(frame, av.AudioFrame)
            # what fails behind the last frame is no sound but a tag
            lost, failed, begun = lost + failed, 0.0, True
            if lost > _LOST:
                raise UnreadableError(path, f"damaged: undecodable before {frame.time or 0:g} s")
            channels = frame.layout.nb_channels
            yield Block(frame.time, frame.sample_rate, channels, _mono(path, frame))


def end_of_packets(path: str) -> float:
    """When the last packet of a stream ends, by the time stamps: nothing is decoded."""
    end = 0.0
    with open_container(path) as container:
        for packet in _packets(path, container, best_audio(path, container)):
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return end


def _packets(
    path: str, container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[av.Packet]:
    while True:
        try:
            yield from container.demux(stream)
            return
        except IndexError:
            continue  # PyAV does not know a stream that begins in the middle of the file
        except av.FFmpegError as error:
            raise UnreadableError(path, _reason(error)) from error


def _reason(error: av.FFmpegError) -> str:
    if isinstance(error, av.error.DecoderNotFoundError):
        return "FFmpeg has no decoder for its sound"
    return f"damaged: {error.strerror}"


def _mono(path: str, frame: av.AudioFrame) -> Float[np.ndarray, " k"]:
    # not frame.to_ndarray(): PyAV finds one plane too many, and reads it, where there are 8
    kind = frame.format.name.removesuffix("p")
    if kind not in _KINDS:
        raise UnreadableError(path, f"samples of a kind that cannot be read: {kind}")
    dtype, full_scale = _KINDS[kind]
    planes: Any = frame.planes  # buffers, as far as numpy is concerned
    count, channels = frame.samples, frame.layout.nb_channels
    if frame.format.is_planar:
        mono = np.frombuffer(planes[0], dtype, count).astype(np.float32)
        for i in range(1, channels):
            mono += np.frombuffer(planes[i], dtype, count)
        if channels > 1:
            mono /= np.float32(channels)
    else:
        mono = np.frombuffer(planes[0], dtype, count * channels).astype(np.float32)
        if channels > 1:
            mono = mono.reshape(count, channels).mean(axis=1)
    if kind == "u8":
        mono -= np.float32(full_scale)
    if full_scale != 1:
        mono /= np.float32(full_scale)
    return mono
