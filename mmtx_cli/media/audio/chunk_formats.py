"""Detection of truncated audio files in chunk-based formats, by the chunk sizes in their headers.

libsndfile and FFmpeg silently return what is left of a truncated file. Sources: Multimedia
Programming Interface and Data Specifications 1.0 (IBM, Microsoft; 1991) for RIFF, EBU Tech 3306 for
RF64, Sony's Wave64 1.1, Apple's AIFF 1.3 and CAF 1.0, Sun's AU.
"""

import struct
from dataclasses import dataclass
from io import RawIOBase

from mmtx_cli.media.regular_file import size_of

_MOST_CHUNKS = 4096
# from these values on, or 0: the size is unknown, as written by live recorders and pipes
_UNKNOWN_32, _UNKNOWN_64 = 0x7FFF0000, 1 << 62
_WAVE64 = b"\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"


@dataclass(frozen=True)
class Layout:
    """Structure of a chunk-based format.

    ``head`` is the struct format of a chunk's name and size, ``first`` the offset of the first
    chunk, ``data`` the name of the chunk with the audio. Chunks begin at multiples of ``align``;
    ``inclusive`` sizes include the chunk's head. Sizes of ``unknown`` or more mean "unknown".
    """

    head: str
    first: int
    data: bytes
    align: int = 2
    unknown: int = _UNKNOWN_32
    inclusive: bool = False


_RIFF = Layout("<4sI", 12, b"data")
_LAYOUTS = {
    b"RIFF": _RIFF,
    b"RIFX": Layout(">4sI", 12, b"data"),
    b"RF64": _RIFF,
    b"FORM": Layout(">4sI", 12, b"SSND"),
    b"riff": Layout("<16sQ", 40, b"data" + _WAVE64, 8, _UNKNOWN_64, inclusive=True),
    b"caff": Layout(">4sQ", 8, b"data", 1, _UNKNOWN_64),
}


def chunk_fault(file: RawIOBase) -> str | None:
    """Return why an audio file is truncated or invalid by its chunks; None if it is not."""
    size = size_of(file)
    file.seek(0)
    name = file.read(4)
    if name == b".snd":
        return _sun_fault(file, size)
    layout = _LAYOUTS.get(name)
    return None if layout is None else _fault(file, size, layout, name)


def _fault(file: RawIOBase, size: int, layout: Layout, kind: bytes) -> str | None:
    position, data_length = layout.first, None
    head_size = struct.calcsize(layout.head)
    for _ in range(_MOST_CHUNKS):
        file.seek(min(position, size))  # a corrupt size may exceed the largest possible offset
        head = file.read(head_size)
        if len(head) < head_size:
            # no audio so far; only chunks after the audio are optional (AIFF allows any order)
            return "truncated: the file ends within its header"
        name, length = struct.unpack(layout.head, head)
        position += head_size
        length -= head_size if layout.inclusive else 0
        if length < 0:
            return "damaged: a chunk is shorter than its header"
        if name == layout.data:
            unknown = layout.unknown
            if kind == b"RF64" and length == 0xFFFFFFFF and data_length is not None:
                length, unknown = data_length, _UNKNOWN_64
            return _missing(position, length, size) if 0 < length < unknown else None
        if name == b"ds64" and kind == b"RF64":
            data_length = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))[1]
        if name == b"fmt " and kind == b"RIFF" and (fault := _format_fault(file.read(16))):
            return fault
        position += length + -length % layout.align
    return f"damaged: more than {_MOST_CHUNKS:,} chunks before the audio data"


def _sun_fault(file: RawIOBase, size: int) -> str | None:
    head = file.read(8)
    if len(head) < 8:
        return "truncated: the file ends within its header"
    offset, length = struct.unpack(">II", head)
    return _missing(offset, length, size) if 0 < length < _UNKNOWN_32 else None


def _missing(begin: int, length: int, size: int) -> str | None:
    """Describe how much audio is missing; sizes that wrongly include headers are accepted."""
    missing = begin + length - size
    if missing <= 0 or missing in (8, begin - 8, begin):
        return None
    return f"truncated: {max(0, length - missing):,} of {length:,} bytes of audio present"


def _format_fault(chunk: bytes) -> str | None:
    if len(chunk) < 16:
        return "truncated: the file ends within its header"
    channels, rate = struct.unpack_from("<HI", chunk, 2)
    if not channels:
        return "invalid header: 0 channels"
    return None if 0 < rate < 1 << 31 else f"invalid header: sample rate of {rate:,} Hz"
