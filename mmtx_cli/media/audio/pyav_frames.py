"""Demux and decode audio with PyAV (FFmpeg) to blocks of mono samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import numpy as np
from jaxtyping import Float

from mmtx_cli.media.container import open_container
from mmtx_cli.media.errors import UnreadableError

_MAX_LOST_SECONDS = 0.1  # seconds that may be undecodable in total
# dtype and full scale of FFmpeg's sample formats; planar formats have the suffix "p"
_KINDS = {
    "u8": (np.uint8, 128),
    "s16": (np.int16, 32768),
    "s32": (np.int32, 2147483648),
    "flt": (np.float32, 1),
    "dbl": (np.float64, 1),
}


@dataclass
class Block:
    """Decoded samples, averaged over ``channels``; ``time`` is the timestamp of the first."""

    time: float | None
    rate: int
    channels: int
    samples: Float[np.ndarray, " k"]


def best_audio(path: str, container: av.container.InputContainer) -> av.AudioStream:
    """Return the audio stream that FFmpeg selects; packets of all other streams are discarded.

    Raises:
        UnreadableError: if the file has no audio stream that can be decoded.
    """
    best = container.streams.best("audio")
    if best is None:
        raise UnreadableError(path, "no decodable audio stream")
    for stream in container.streams:
        if stream is not best and hasattr(av.stream, "Discard"):  # since PyAV 17.1
            stream.discard = av.stream.Discard.all
    assert isinstance(best, av.AudioStream)
    return best


def decoded(
    path: str, container: av.container.InputContainer, stream: av.AudioStream
) -> Iterator[Block]:
    """Decode from the current position of the container to its end.

    Raises:
        UnreadableError: if it is damaged; up to 0.1 s of undecodable packets are skipped.
    """
    failed, lost, begun = 0.0, 0.0, False
    for packet in _packets(path, container, stream):
        try:
            frames = packet.decode()
        except av.InvalidDataError:
            if begun:  # until the first frame, decoding may have started in the middle
                failed += float((packet.duration or 0) * packet.time_base)
            continue
        except av.error.EOFError:  # at the second last packet, after the loop in _packets
            return
        except av.FFmpegError as error:
            raise UnreadableError(path, _reason(error)) from error
        for frame in frames:
            assert isinstance(frame, av.AudioFrame)
            # counted only now: failures after the last frame are tags, not audio
            lost, failed, begun = lost + failed, 0.0, True
            if lost > _MAX_LOST_SECONDS:
                raise UnreadableError(
                    path, f"damaged: cannot be decoded before {frame.time or 0:g} s"
                )
            channels = frame.layout.nb_channels
            yield Block(frame.time, frame.sample_rate, channels, _mono(path, frame))


def end_of_packets(path: str) -> float:
    """Return the end of the last audio packet in seconds, by timestamps, without decoding."""
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
            continue  # raised by PyAV for a stream that begins in the middle of the file
        except av.FFmpegError as error:
            raise UnreadableError(path, _reason(error)) from error


def _reason(error: av.FFmpegError) -> str:
    if isinstance(error, av.error.DecoderNotFoundError):
        return "FFmpeg has no decoder for its audio stream"
    return f"damaged: {error.strerror}"


def _mono(path: str, frame: av.AudioFrame) -> Float[np.ndarray, " k"]:
    # not frame.to_ndarray(): with 8 planes, PyAV reads one too many
    kind = frame.format.name.removesuffix("p")
    if kind not in _KINDS:
        raise UnreadableError(path, f"unsupported sample format: {kind}")
    dtype, full_scale = _KINDS[kind]
    planes: Any = frame.planes  # numpy reads them as buffers
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
