"""The header of a WAV file: what libsndfile and FFmpeg pass over or say unclearly."""

import os
import struct
from io import FileIO

# recorders and pipes that cannot know the size write one of these, or 0
_UNKNOWN = 0x7FFF0000
# some writers count headers in
_MISCOUNT = 1024


def wav_fault(file: FileIO) -> str | None:
    """Why a RIFF WAVE file cannot be right, or None; other headers than RIFF's are not looked at.

    Source: Multimedia Programming Interface and Data Specifications 1.0 (IBM, Microsoft; 1991).
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    if file.read(4) != b"RIFF":
        return None
    position = 12
    while True:
        file.seek(position)
        head = file.read(8)
        if len(head) < 8:
            return "truncated: the file ends in its header"
        name, length = struct.unpack("<4sI", head)
        position += 8
        if name == b"data":
            missing = position + length - size
            if length < _UNKNOWN and missing > _MISCOUNT:
                return f"truncated: {length - missing:,} of {length:,} bytes of sound are there"
            return None
        if name == b"fmt " and (fault := _format_fault(file.read(16))):
            return fault
        position += length + length % 2


def _format_fault(chunk: bytes) -> str | None:
    if len(chunk) < 16:
        return "truncated: the file ends in its header"
    channels, rate = struct.unpack_from("<HI", chunk, 2)
    if not channels:
        return "its header says 0 channels"
    return None if 0 < rate < 1 << 31 else f"its header says a sample rate of {rate:,} Hz"
