"""Read audio with PyAV (FFmpeg): MP3, AAC, the audio tracks of videos."""

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain

import av
import numpy as np
from jaxtyping import Float

from mmtx_cli.media.audio.duration import declared_length
from mmtx_cli.media.audio.pyav_frames import Block, best_audio, decoded, end_of_packets
from mmtx_cli.media.audio.window import check_length
from mmtx_cli.media.container import open_container
from mmtx_cli.media.errors import UnreadableError

_FEW = 60.0  # seconds up to which decoding is faster than counting packets
_NEAR = 2.0  # seconds up to which decoding is faster than seeking
_PREROLL = 0.5  # seconds after which a decoder started in the middle gives correct samples
_JITTER = 0.1  # seconds by which timestamps may be wrong, or a codec delayed


class SoundStream:
    """The best audio stream of a file.

    Sample 0 is at the beginning of the file; if a video begins before its audio, silence is
    inserted. ``zero`` is the time of sample 0 in seconds: 0, or the codec delay in a video.
    """

    def __init__(self, path: str, container: av.container.InputContainer) -> None:
        """Read a container with an audio stream; its first block is decoded at once."""
        self.path, self.container = path, container
        self.stream = best_audio(path, container)
        blocks = decoded(path, container, self.stream)
        first = next(blocks, None)
        if first is None:
            raise UnreadableError(path, "contains no decodable audio")
        self.unread: Iterator[Block] | None = chain([first], blocks)
        self.rate, self.channels = first.rate, first.channels
        audio_start = first.time or 0.0
        file_start = container.start_time
        origin = self.begins = audio_start if file_start is None else file_start / av.time_base
        if abs(audio_start - origin) < _JITTER:
            self.begins = audio_start  # a codec delay, not silence
        self.zero = self.begins - origin if container.streams.video else 0.0
        self.declared = declared_length(path, container, self.stream, self.begins)
        self.whole: np.ndarray | None = None

    def length(self) -> int:
        """Return the number of samples to the end of the audio or, if unknown, of the file."""
        declared = self.declared.seconds
        if declared is not None and not self.declared.guessed:
            return round(declared * self.rate)
        if self.whole is None and declared is not None and declared < _FEW:
            self.whole = self.read(0, None)
        if self.whole is not None:
            return len(self.whole)
        return round((end_of_packets(self.path) - self.begins) * self.rate)

    def read(self, first: int, count: int | None) -> Float[np.ndarray, " n"]:
        """Return at most ``count`` samples from ``first`` on, averaged over the channels.

        Raises:
            UnreadableError: if the file is damaged in this part, or ends too early.
        """
        if self.whole is not None:
            return self.whole[first : None if count is None else first + count]
        last = self._last(first, count)
        parts = list(self._reaching(first, last))
        end = parts[-1][0] + len(parts[-1][1]) if parts else first
        self._check_end(end, last)
        if last is not None:
            end = min(end, last)
        wave = np.zeros(max(0, end - first), np.float32)
        for position, samples in parts:
            low, high = max(position, first), min(position + len(samples), end)
            if low < high:
                wave[low - first : high - first] = samples[low - position : high - position]
        return wave

    def pieces(self, first: int, count: int | None) -> Iterator[Float[np.ndarray, " n"]]:
        """Yield what ``read`` decodes, piece by piece; raise as ``read`` does."""
        last, end = self._last(first, count), first
        for position, samples in self._reaching(first, last):
            end = position + len(samples)
            yield samples
        self._check_end(end, last)

    def _last(self, first: int, count: int | None) -> int | None:
        """Return the index after the last sample to read; None for all samples."""
        last = None if count is None else first + count
        if self.declared.exact:
            last = self.length() if last is None else min(last, self.length())
        return last

    def _check_end(self, end: int, last: int | None) -> None:
        """Raise UnreadableError if decoding ended too early, at sample ``end``."""
        if last is not None and self.declared.exact and end < last - _JITTER * self.rate:
            reached, declared = end / self.rate, self.length() / self.rate
            reason = f"truncated: the audio ends at {reached:g} s of {declared:g} s"
            raise UnreadableError(self.path, reason)

    def _reaching(self, first: int, last: int | None) -> Iterator[tuple[int, np.ndarray]]:
        """Yield decoded pieces that cover ``first`` to ``last``, each with its first index."""
        for position, samples in self._placed(first):
            end = position + len(samples)
            if end > first:
                yield position, samples
            check_length(self.path, end - first, self.rate)
            if last is not None and end >= last:
                break

    def _placed(self, first: int) -> Iterator[tuple[int, np.ndarray]]:
        """Yield pieces from before sample ``first`` on, each with the index of its first sample."""
        position = None
        for block in self._from(first):
            if block.rate != self.rate:
                reason = f"the sample rate changes from {self.rate} to {block.rate} Hz"
                raise UnreadableError(self.path, reason)
            stamp = None
            if block.time is not None:
                stamp = round((block.time - self.begins) * self.rate)
            if position is None:
                position = stamp or 0
            elif stamp is not None and stamp - position > _JITTER * self.rate:
                position = stamp  # a gap in the recording
            yield position, block.samples
            position += len(block.samples)

    def _from(self, first: int) -> Iterator[Block]:
        """Return blocks from some time before sample ``first`` on."""
        unread, self.unread = self.unread, None
        if first > _NEAR * self.rate:
            time = self.begins + first / self.rate
            blocks = self._sought(time - _PREROLL)
            head = next(blocks, None)
            if head is not None and head.time is not None and head.time <= time:
                return chain([head], blocks)
            unread = None
        if unread is not None:
            return unread
        self.container.close()
        self.container = open_container(self.path)
        self.stream = best_audio(self.path, self.container)
        return decoded(self.path, self.container, self.stream)

    def _sought(self, time: float) -> Iterator[Block]:
        """Return blocks from near ``time`` on; none if the container is not seekable."""
        base = self.stream.time_base
        try:
            self.container.seek(int(time / base) if base else 0, stream=self.stream)
        except av.FFmpegError:
            return iter(())
        return decoded(self.path, self.container, self.stream)

    def close(self) -> None:
        """Close the file."""
        self.container.close()


def open_stream(path: str, fault: str) -> SoundStream | None:
    """Open the audio of a file; return None for a video without an audio stream.

    Raises:
        UnreadableError: with the reason ``fault`` if FFmpeg cannot open the file; also if it
            contains neither audio nor video.
    """
    with ExitStack() as stack:
        try:
            container = stack.enter_context(open_container(path))
            if container.streams.audio:
                sound = SoundStream(path, container)
                stack.pop_all()
                return sound
        except av.FFmpegError as error:
            raise UnreadableError(path, fault) from error
        cover = av.stream.Disposition.attached_pic
        if any(not stream.disposition & cover for stream in container.streams.video):
            return None
        raise UnreadableError(path, "no audio stream")
