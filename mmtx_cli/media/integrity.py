"""Check that a media file is as long as its container header declares, without decoding it."""

import os
from typing import BinaryIO

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.regular_file import open_regular, size_of
from mmtx_cli.media.shard.member_file import check_member

_EBML, _SEGMENT = b"\x1aE\xdf\xa3", b"\x18S\x80g"
_BOXES = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"sidx", b"pnot")


def check_whole(path: str) -> str:
    """Return the kind of container: "mp4", "matroska", "avi", or "" for any other.

    FFmpeg silently returns what is left of a truncated file. Containers that declare their length
    (ISO/IEC 14496-12, Matroska's EBML, RIFF) are therefore compared with the size of the file.

    Raises:
        UnreadableError: if the file is missing, not a regular file, empty or truncated.
    """
    try:
        with open_regular(path) as file:
            size = size_of(file)
            kind, declared_end = _declared_end(file, size)
        check_member(path)
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error
    if declared_end > size:
        raise UnreadableError(path, f"truncated: {size:,} of {declared_end:,} bytes present")
    return kind


def _declared_end(file: BinaryIO, size: int) -> tuple[str, int]:
    """Return the kind of container and the declared end of its content (0 if not declared)."""
    start = file.read(12)
    if start[4:8] in _BOXES:
        return "mp4", _end_of_boxes(file, size)
    if start.startswith(_EBML):
        return "matroska", _end_of_segment(file)
    if start.startswith(b"RIFF") and start[8:] == b"AVI ":
        return "avi", 8 + int.from_bytes(start[4:8], "little")
    return "", 0


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    at = 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length = int.from_bytes(header[:4], "big")
        if length == 1:  # a 64-bit length follows
            length = int.from_bytes(header[8:], "big")
        if length < 8:  # 0 means "to the end of the file"; other values are invalid
            break
        at += length
    return at


def _end_of_segment(file: BinaryIO) -> int:
    file.seek(len(_EBML))
    length = _variable_integer(file)
    if length is None:
        return 0
    file.seek(length, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return 0
    length = _variable_integer(file)
    return 0 if length is None else file.tell() + length


def _variable_integer(file: BinaryIO) -> int | None:
    """Return an EBML length (RFC 8794, section 4); None for "unknown", as in live recordings."""
    first = file.read(1)[:1]
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] & (0x7F >> more)]) + file.read(more), "big")
    return None if value == (1 << 7 * (more + 1)) - 1 else value
