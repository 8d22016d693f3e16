"""Sound in anything that FFmpeg reads: MP3, AAC, the sound tracks of videos."""

from collections.abc import Iterator
from itertools import chain

import av
import numpy as np
from jaxtyping import Float

from mmtx_cli.data.decode.sound_length import ToldLength, told_length
from mmtx_cli.data.unreadable import UnreadableError

# Containers of sound and video only. Playlists and scripts, which FFmpeg would follow too, name
# other files and addresses: a hostile file must not.
_CONTAINERS = (
    "aac,ac3,aiff,amr,amrnb,amrwb,ape,asf,au,avi,caf,dts,dv,eac3,flac,flv,h264,hevc,iff,ivf,loas,"
    "m4v,matroska,mov,mp3,mpc,mpc8,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,oma,rm,swf,tak,truehd,"
    "tta,voc,w64,wav,wtv,wv,xwma"
)
_OPTIONS = {"format_whitelist": _CONTAINERS, "protocol_whitelist": "file"}

_FEW = 60.0  # seconds that are sooner decoded than counted
_NEAR = 2.0  # seconds that are sooner decoded than sought
_PREROLL = 0.5  # seconds after which a decoder that began in the middle is right
_JITTER = 0.1  # seconds by which time stamps may be wrong, or a codec late
_LOST = 0.1  # seconds in all that may be undecodable
_FULL_SCALE = {"u1": 128.0, "i2": 32768.0, "i4": 2147483648.0}

Block = tuple[float | None, Float[np.ndarray, " k"]]


class SoundStream:
    """The best audio stream of a file; times count from the beginning of the file.

    That is before the beginning of the sound where a video begins earlier: silence comes first.
    """

    def __init__(self, path: str, container: av.container.InputContainer) -> None:
        """Take a container that has sound, and decode the first of it."""
        self.path = path
        self.rate = self.channels = 0
        self.whole: np.ndarray | None = None
        self._take(container)
        first = next(self.blocks, None)
        if first is None:
            raise UnreadableError(path, "holds no sound")
        self.blocks = chain([first], self.blocks)
        begins, sounds = container.start_time, first[0] or 0.0
        self.begins = sounds if begins is None else begins / av.time_base
        if abs(sounds - self.begins) < _JITTER:
            self.begins = sounds  # a codec's delay is no silence
        self.told: ToldLength = told_length(path, container, self.stream, self.begins)

    def _take(self, container: av.container.InputContainer) -> None:
        self.container = container
        self.stream = container.streams.best("audio")
        for other in container.streams:
            if other is not self.stream and hasattr(av.stream, "Discard"):  # since PyAV 17.1
                other.discard = av.stream.Discard.all
        self.blocks: Iterator[Block] = self._decoded()
        self.fresh = True

    @property
    def length(self) -> int:
        """Samples up to the end of the sound, or of the file where only that is told."""
        told = self.told.seconds
        if told is not None and not self.told.guessed:
            return round(told * self.rate)
        if self.whole is None and told is not None and told < _FEW:
            self.whole = self.read(0, None)
        if self.whole is not None:
            return len(self.whole)
        return self._counted()

    def read(self, first: int, count: int | None) -> Float[np.ndarray, " n"]:
        """Samples from ``first`` on, at most ``count``; the mean of all channels.

        Raises:
            UnreadableError: if the file is damaged there, or ends too early.
        """
        if self.whole is not None:
            return self.whole[first : None if count is None else first + count]
        last = None if count is None else first + count
        if self.told.exact:
            last = self.length if last is None else min(last, self.length)
        parts, end = [], first
        for place, block in self._placed(first):
            if place + len(block) > first:
                parts.append((place, block))
                end = place + len(block)
            if last is not None and end >= last:
                break
        if self.told.exact and last is not None and end < last - _JITTER * self.rate:
            where, told = end / self.rate, self.length / self.rate
            raise UnreadableError(self.path, f"damaged: the sound ends at {where:g} s of {told:g} s")
        end = end if last is None else max(first, min(end, last))
        wave = np.zeros(end - first, np.float32)
        for place, block in parts:
            low, high = max(place, first), min(place + len(block), end)
            if low < high:
                wave[low - first : high - first] = block[low - place : high - place]
        return wave

    def _placed(self, first: int) -> Iterator[tuple[int, np.ndarray]]:
        """Blocks from before ``first`` on, each with the number of its first sample."""
        place = None
        for time, block in self._from(first):
            told = None if time is None else round((time - self.begins) * self.rate)
            if place is None:
                place = told or 0
            elif told is not None and told - place > _JITTER * self.rate:
                place = told  # the recording paused
            yield place, block
            place += len(block)

    def _from(self, first: int) -> Iterator[Block]:
        """Blocks from some time before sample ``first``, or from the beginning."""
        time = self.begins + first / self.rate
        if first > _NEAR * self.rate and self.stream.time_base is not None:
            try:
                where = int((time - _PREROLL) / self.stream.time_base)
                self.container.seek(where, stream=self.stream)
                self.fresh = False
                blocks = self._decoded()
                head = next(blocks, None)
                if head is not None and head[0] is not None and head[0] <= time:
                    return chain([head], blocks)
            except av.FFmpegError:  # not every container can be sought in, nor exactly
                self.fresh = False
        if not self.fresh:
            self.container.close()
            self._take(open_container(self.path))
        self.fresh = False
        return self.blocks

    def _decoded(self) -> Iterator[Block]:
        """Decode from where the container is: time stamps in seconds, and mono samples."""
        failed, lost = 0.0, 0.0
        begun = False
        for packet in self.container.demux(self.stream):
            try:
                frames = packet.decode()
            except av.InvalidDataError:
                # before the first frame the decoder has only begun in the middle
                failed += float((packet.duration or 0) * packet.time_base) if begun else 0.0
                continue
            for frame in frames:
                lost, failed, begun = lost + failed, 0.0, True
                if lost > _LOST:  # what fails behind the last frame is no sound but a tag
                    near = (frame.time or 0.0) - self.begins
                    raise UnreadableError(self.path, f"damaged: undecodable before {near:g} s")
                self._check(frame)
                yield frame.time, _mono(frame, self.path)

    def _check(self, frame: av.AudioFrame) -> None:
        if not self.rate:
            self.rate, self.channels = frame.sample_rate, frame.layout.nb_channels
        if frame.sample_rate != self.rate:
            reason = f"the sample rate changes from {self.rate} to {frame.sample_rate} Hz"
            raise UnreadableError(self.path, reason)

    def _counted(self) -> int:
        """The length by the time stamps of all packets, without decoding."""
        end = self.begins
        with open_container(self.path) as container:
            for packet in container.demux(container.streams[self.stream.index]):
                if packet.pts is not None:
                    end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        return round((end - self.begins) * self.rate)

    def close(self) -> None:
        """Close the file."""
        self.container.close()


def open_container(path: str) -> av.container.InputContainer:
    """Open a file that is a sound or a video by its content."""
    # "file:" since a name may look like an address
    return av.open("file:" + path, options=dict(_OPTIONS), metadata_errors="ignore")


def open_stream(path: str) -> SoundStream | None:
    """Open the sound of a file; None if it is a video without.

    Raises:
        av.FFmpegError: if FFmpeg cannot open it.
        UnreadableError: if it holds neither, or the sound cannot be decoded.
    """
    container = open_container(path)
    try:
        if container.streams.audio:
            sound = SoundStream(path, container)
            container = None
            return sound
        cover = av.stream.Disposition.attached_pic
        if any(not stream.disposition & cover for stream in container.streams.video):
            return None
        raise UnreadableError(path, "no audio stream")
    finally:
        if container is not None:
            container.close()


def _mono(frame: av.AudioFrame, path: str) -> Float[np.ndarray, " k"]:
    try:
        samples = frame.to_ndarray()
    except ValueError as error:  # 64-bit integers
        reason = f"samples of a kind that cannot be read: {frame.format.name}"
        raise UnreadableError(path, reason) from error
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype.kind != "f":
        scale = _FULL_SCALE[samples.dtype.str[1:]]
        samples = samples.astype(np.float32) / np.float32(scale)
        samples = samples - 1.0 if scale == 128.0 else samples
    one = samples[0] if len(samples) == 1 else samples.mean(axis=0)
    return one.astype(np.float32, copy=False)
