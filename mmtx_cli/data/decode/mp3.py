"""Whether an MP3 file tells its own length: FFmpeg guesses where it does not, and does not say."""

from io import FileIO

_LARGEST_FRAME = 4096


def tells_length(path: str) -> bool:
    """Whether the first frame is a Xing, Info or VBRI header, which counts the frames."""
    with FileIO(path) as file:
        position = 0
        # ID3v2: 4 x 7 bits of size behind the flags (id3.org, ID3v2.3.0, section 3.1)
        while (head := file.read(10))[:3] == b"ID3" and len(head) == 10:
            a, b, c, d = head[6:]
            position += 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if head[5] & 16 else 0)
            file.seek(position)
        file.seek(position)
        frame = file.read(_LARGEST_FRAME)
    return any(name in frame for name in (b"Xing", b"Info", b"VBRI"))
