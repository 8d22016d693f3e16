"""Read audio files (WAV, FLAC, OGG, AIFF …) with libsndfile."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from io import FileIO, RawIOBase

import numpy as np
import soundfile
from jaxtyping import Float

from mmtx_cli.media.audio.chunk_formats import chunk_fault
from mmtx_cli.media.audio.ogg import is_cut_ogg
from mmtx_cli.media.audio.window import check_length
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.regular_file import open_raw

# Not MP3: libsndfile's decoder writes to standard error, and estimates the length of files that do
# not declare it.
_STARTS = {
    b"RIFF": "WAV",
    b"RIFX": "WAV",
    b"RF64": "WAV",
    b"riff": "W64",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"FORM": "AIFF",
    b".snd": "AU",
    b"caff": "CAF",
    b"NIST": "SPHERE",
}
_BLOCK = 1 << 20  # samples of all channels in memory at once
_UNKNOWN = 1 << 60  # libsndfile reports more than this for streams of unknown length


class SoundFile:
    """An audio file opened by libsndfile."""

    def __init__(self, path: str, kind: str, raw: RawIOBase) -> None:
        """Take over the open file, or raise soundfile.LibsndfileError."""
        self.path, self.kind, self.raw = path, kind, raw
        raw.seek(0)
        # by descriptor, since the suffix of a path may contradict the content
        is_file = os.name == "posix" and isinstance(raw, FileIO)
        descriptor = raw.fileno() if is_file else raw
        self.file = soundfile.SoundFile(descriptor, closefd=False)
        self.rate: int = self.file.samplerate
        self.channels: int = self.file.channels
        self.zero = 0.0

    def length(self) -> int:
        """Return the exact number of samples per channel."""
        return int(self.file.frames)

    def read(self, first: int, count: int | None) -> Float[np.ndarray, " n"]:
        """Return at most ``count`` samples from ``first`` on, averaged over the channels.

        Raises:
            UnreadableError: if the file is damaged in this part, or ends too early.
        """
        parts = list(self.pieces(first, count))
        return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0, np.float32), *parts])

    def pieces(self, first: int, count: int | None) -> Iterator[Float[np.ndarray, " n"]]:
        """Yield the samples of ``read`` in pieces that fit into memory; raise as ``read`` does."""
        remaining = min(self.length() - first, self.length() if count is None else count)
        check_length(self.path, remaining, self.rate)
        expected = remaining
        try:
            if first:
                self.file.seek(first)
            while remaining > 0:
                size = min(remaining, _BLOCK // self.channels)
                part = self.file.read(size, dtype="float32", always_2d=True)
                remaining -= len(part)
                yield part[:, 0] if self.channels == 1 else part.mean(axis=1)
                if len(part) < size:
                    break
        except soundfile.LibsndfileError as error:
            raise UnreadableError(self.path, f"damaged {self.kind}: {error_text(error)}") from error
        if remaining > 0:
            reached = (first + expected - remaining) / self.rate
            declared = self.length() / self.rate
            reason = f"truncated {self.kind}: the audio ends at {reached:g} s of {declared:g} s"
            raise UnreadableError(self.path, reason)

    def check_end(self) -> None:
        """Raise UnreadableError if the last sample by the header cannot be read."""
        try:
            self.file.seek(self.length() - 1)
            found = len(self.file.read(1, dtype="float32", always_2d=True))
            self.file.seek(0)
        except soundfile.LibsndfileError:
            found = 0
        if not found:
            declared = self.length() / self.rate
            reason = (
                f"truncated {self.kind}, or damaged at its end: its header declares {declared:g} s"
            )
            raise UnreadableError(self.path, reason)

    def close(self) -> None:
        """Close the file."""
        self.file.close()
        self.raw.close()


def open_file(path: str) -> SoundFile | str | None:
    """Open a file of a format that libsndfile reads well.

    Returns:
        The open file; None if another decoder is to read it; or, as a string, why libsndfile
        cannot open it.

    Raises:
        UnreadableError: if the file is truncated or invalid by its header.
    """
    with ExitStack() as stack:
        raw = stack.enter_context(open_raw(path))
        start = raw.read(12)
        kind = _STARTS.get(start[:4])
        if kind is None or (kind == "WAV" and start[8:] != b"WAVE"):
            return None
        fault = chunk_fault(raw)
        if kind == "Ogg" and is_cut_ogg(raw):
            fault = "truncated: the last page is incomplete"
        if fault is not None:
            raise UnreadableError(path, fault)
        try:
            sound = SoundFile(path, kind, raw)
        except soundfile.LibsndfileError as error:
            return f"damaged {kind}: {error_text(error)}"
        stack.push(lambda *_: sound.close())
        # unknown lengths, and those of MP3 in WAV, are found by decoding with FFmpeg
        if not 0 < sound.length() < _UNKNOWN or "MPEG" in sound.file.subtype:
            return None
        if kind == "FLAC":  # which does not declare its size
            sound.check_end()
        stack.pop_all()
        return sound


def error_text(error: soundfile.LibsndfileError) -> str:
    """Return libsndfile's own error message, to be inserted into a reason."""
    return str(error.error_string).removeprefix("Error : ").removesuffix(".")
