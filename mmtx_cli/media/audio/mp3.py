"""Length of an MP3 by its header; without one, FFmpeg silently estimates the length."""

from mmtx_cli.media.regular_file import check_regular, open_raw

_LARGEST_FRAME = 4096
_SLACK = 1044
"""Bytes of the largest layer III frame: writers differ in whether they count the header frame."""
_HAS_FRAMES, _HAS_BYTES = 1, 2


def declares_frames(path: str) -> bool:
    """Return True if the first frame is a Xing, Info or VBRI header, which counts the frames."""
    return _header(path) is not None


def mp3_fault(path: str) -> str | None:
    """Return why an MP3 is truncated by the byte count in its header; None if it is not."""
    header = _header(path)
    if header is None:
        return None
    begin, declared = header
    size = check_regular(path)
    # some writers include tags before the audio, so a count up to the file size is accepted
    if declared is None or begin + declared - size <= _SLACK or declared <= size:
        return None
    return f"truncated: {size - begin:,} of {declared:,} bytes of audio present"


def _header(path: str) -> tuple[int, int | None] | None:
    """Return the offset of the first frame and its byte count, if any; None without a header."""
    with open_raw(path) as file:
        position = 0
        # ID3v2: a size of 4 x 7 bits follows the flags (id3.org, ID3v2.3.0, section 3.1)
        while (head := file.read(10))[:3] == b"ID3" and len(head) == 10:
            a, b, c, d = head[6:]
            position += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if head[5] & 16 else 0)
            file.seek(position)
        file.seek(position)
        frame = file.read(_LARGEST_FRAME)
    for name in (b"Xing", b"Info"):  # followed by flags, frame count and byte count
        if (at := frame.find(name)) >= 0:
            flags = int.from_bytes(frame[at + 4 : at + 8], "big")
            count_offset = at + 8 + (4 if flags & _HAS_FRAMES else 0)
            num_bytes = int.from_bytes(frame[count_offset : count_offset + 4], "big")
            return position, num_bytes if flags & _HAS_BYTES and num_bytes else None
    if (at := frame.find(b"VBRI")) >= 0:  # followed by version, delay, quality (2 bytes each)
        return position, int.from_bytes(frame[at + 10 : at + 14], "big") or None
    return None
