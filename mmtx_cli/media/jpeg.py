"""JPEGs: whole ones quickly, and a source that tells damaged pictures from whole ones.

libjpeg fills what is missing with grey, and Pillow drops its warnings. So the compressed scan is
handed over with its end marker replaced by a few zero bytes: a picture that needs more bits than
the file has then runs dry, and one that is complete long before its data end was led astray by a
wrong code. Progressive files, and those of several scans, are left as they are: libjpeg reads
them whole, and Pillow reports a missing end itself.
"""

import io
import re
from collections.abc import Iterator

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image

JPEG_START = b"\xff\xd8\xff"
_EXIF = b"Exif\x00\x00"
_ORIENTATION = 0x0112
_HEAD = 1 << 17  # EXIF data come first, or behind another segment of at most 64 KiB
_COLOURS = ("Gray", "YCbCr", "RGB")
# begins with one literal byte, for which re.search is as quick as memchr
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_BASELINE = (0xC0, 0xC1)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_NEXT_SCAN = frozenset({0xC4, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE})
# Huffman decoding looks up to eight bytes ahead of what it needs
_LOOKAHEAD = bytes(16)
# what encoders leave unread at the end of a sound scan stays below this
_SPARE_BYTES, _SPARE_SHARE = 64, 0.01


def plain_jpeg(data: bytes, size: int | None) -> UInt8[np.ndarray, "h w 3"] | None:
    """Decode an upright RGB or grey JPEG of which libjpeg has nothing to complain.

    Gives the pixels that Pillow does, in half the time: its copies are saved. ``size`` chooses
    the scale, as ``Image.draft`` does. None for any other file, which Pillow is to judge.
    """
    try:
        if not _stored_upright(data):
            return None
        height, width, colour, _ = simplejpeg.decode_jpeg_header(data)
        if colour not in _COLOURS or height * width > (Image.MAX_IMAGE_PIXELS or 0):
            return None
        scale = 1 if size is None else _scale(min(height, width) // size)
        return simplejpeg.decode_jpeg(
            data,
            min_height=-(-height // scale),
            min_width=-(-width // scale),
            min_factor=scale,
            strict=True,
        )
    except Exception:  # whatever it is, Pillow will say what is wrong with it
        return None


def scan_bound(data: bytes) -> int:
    """At most how many scans a JPEG has: 1 without a look at its end where its first has it all.

    libjpeg decodes no further scan behind one with all components of a sequential picture. Of
    other files, markers in thumbnails count, too.
    """
    components, sequential = 0, False
    for marker, at in _segments(data):
        if marker in _FRAMES:
            sequential = marker in _BASELINE
            components = data[at + 9] if at + 9 < len(data) else 0
        every = at + 4 < len(data) and data[at + 4] == components
        if marker == _START_OF_SCAN and sequential and every:
            return 1
    return data.count(bytes([0xFF, _START_OF_SCAN]))


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Marker and place of each segment, up to the header of the first scan."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:
            at += 1
            continue
        yield marker, at
        if marker == _START_OF_SCAN:
            return
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")


def _stored_upright(data: bytes) -> bool:
    at = data.find(_EXIF, 0, _HEAD)
    if at < 0:
        return True
    exif = Image.Exif()
    exif.load(data[at : at + 0xFFFF])
    return exif.get(_ORIENTATION, 1) == 1


def _scale(most: int) -> int:
    """The largest of 8, 4, 2 and 1 that is at most ``most``."""
    return next((scale for scale in (8, 4, 2) if scale <= most), 1)


def baseline_scan(data: bytes) -> tuple[int, int] | None:
    """Return where the only scan of a sequential Huffman JPEG begins and ends, else None."""
    sequential = False
    for marker, at in _segments(data):
        if marker in _FRAMES:
            sequential = marker in _BASELINE
        if marker == _START_OF_SCAN:
            start = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
            break
    else:
        return None
    found = _MARKER.search(data, start)
    if not sequential or (found and found.group()[-1] in _NEXT_SCAN):
        return None
    end = found.start() if found else len(data)
    while found and data[end - 1] == 0xFF:  # fill bytes before the marker
        end -= 1
    return start, end


class StrictJpeg(io.BytesIO):
    """A JPEG file in memory; after decoding, ``has_excess`` tells a scan read only in part."""

    def __init__(self, data: bytes) -> None:
        """Take the whole file."""
        scan = baseline_scan(data)
        self._bound = self._furthest = 0
        if scan is None:
            super().__init__(data)
            return
        start, end = scan
        super().__init__(data[:end] + _LOOKAHEAD)
        # a run of one value at the end is padding
        end = start + len(data[start:end].rstrip(data[end - 1 : end]))
        spare = max(_SPARE_BYTES, int((end - start) * _SPARE_SHARE))
        self._bound = max(start, end - spare)

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes, never past the last part of the scan in one go."""
        at = self.tell()
        if at < self._bound:
            left = self._bound - at
            size = left if size is None or size < 0 else min(size, left)
        data = super().read(size)
        self._furthest = max(self._furthest, self.tell())
        return data

    @property
    def has_excess(self) -> bool:
        """True if the picture was complete before the last part of its data was asked for."""
        return self._furthest <= self._bound and self._bound > 0
