"""Detection of truncated Ogg files, which decoders do not report."""

from io import RawIOBase

from mmtx_cli.media.regular_file import size_of

_HEADER = 27
_LARGEST_PAGE = _HEADER + 255 + 255 * 255


def is_cut_ogg(file: RawIOBase) -> bool:
    """Return True if the file ends within a page (RFC 3533, section 6)."""
    size = size_of(file)
    file.seek(max(0, size - _LARGEST_PAGE))
    end = file.read(_LARGEST_PAGE)
    start = end.rfind(b"OggS")
    if start < 0:
        return False  # other data was appended
    page = end[start:]
    if len(page) < _HEADER:
        return True
    segments = page[26]
    return len(page) < _HEADER + segments + sum(page[_HEADER : _HEADER + segments])
