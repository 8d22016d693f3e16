"""Fast decoding of intact JPEGs, and detection of damaged ones.

libjpeg fills missing data with gray, and Pillow drops its warnings. The compressed scan is
therefore passed on with its end marker replaced by a few zero bytes: an image that needs more bits
than the file contains then runs out of data, and one that is complete long before the end of its
data was misread because of a corrupt code. Progressive and multi-scan files are left unchanged:
libjpeg reads them to the end, and Pillow itself reports a missing end.
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
_HEAD = 1 << 17  # EXIF data comes first, or after another segment of at most 64 KiB
_COLORS = ("Gray", "YCbCr", "RGB")
# starts with a literal byte, which re.search finds as fast as memchr
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_BASELINE = (0xC0, 0xC1)
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_START_OF_SCAN = 0xDA
_NEXT_SCAN = frozenset({0xC4, 0xDA, 0xDB, 0xDC, 0xDD, 0xFE})
# the Huffman decoder reads up to eight bytes ahead
_LOOKAHEAD = bytes(16)
# intact scans have fewer unread bytes than this at their end
_SPARE_BYTES, _SPARE_SHARE = 64, 0.01


def plain_jpeg(data: bytes, size: int | None) -> UInt8[np.ndarray, "h w 3"] | None:
    """Decode an upright RGB or grayscale JPEG that libjpeg reads without a warning.

    Returns the same pixels as Pillow in half the time, by avoiding copies. ``size`` selects the
    scale, as ``Image.draft`` does. Returns None for any other file, which is left to Pillow.
    """
    try:
        if not _stored_upright(data):
            return None
        height, width, color, _ = simplejpeg.decode_jpeg_header(data)
        if color not in _COLORS or height * width > (Image.MAX_IMAGE_PIXELS or 0):
            return None
        scale = 1 if size is None else _scale(min(height, width) // size)
        return simplejpeg.decode_jpeg(
            data,
            min_height=-(-height // scale),
            min_width=-(-width // scale),
            min_factor=scale,
            strict=True,
        )
    except Exception:  # Pillow reports what is wrong with the file
        return None


def scan_bound(data: bytes) -> int:
    """Return an upper bound on the number of scans in a JPEG.

    It is 1 if the first scan of a sequential image contains all components, since libjpeg decodes
    no further scan after it. In other files, markers in thumbnails are counted, too.
    """
    components, sequential = 0, False
    for marker, at in _segments(data):
        if marker in _FRAMES:
            sequential = marker in _BASELINE
            components = data[at + 9] if at + 9 < len(data) else 0
        has_all_components = at + 4 < len(data) and data[at + 4] == components
        if marker == _START_OF_SCAN and sequential and has_all_components:
            return 1
    return data.count(bytes([0xFF, _START_OF_SCAN]))


def _segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the marker and offset of each segment, up to the header of the first scan."""
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


def _scale(limit: int) -> int:
    """Return the largest of 8, 4 and 2 that is at most ``limit``, else 1."""
    return next((scale for scale in (8, 4, 2) if scale <= limit), 1)


def baseline_scan(data: bytes) -> tuple[int, int] | None:
    """Return the start and end of the only scan of a sequential Huffman JPEG, else None."""
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
    """A JPEG file in memory; ``has_excess`` is True if decoding read the scan only in part."""

    def __init__(self, data: bytes) -> None:
        """Wrap the contents of a whole file."""
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
        """Read up to ``size`` bytes, stopping once at the start of the last part of the scan."""
        at = self.tell()
        if at < self._bound:
            left = self._bound - at
            size = left if size is None or size < 0 else min(size, left)
        data = super().read(size)
        self._furthest = max(self._furthest, self.tell())
        return data

    @property
    def has_excess(self) -> bool:
        """True if the image was complete before the last part of its data was requested."""
        return self._furthest <= self._bound and self._bound > 0
