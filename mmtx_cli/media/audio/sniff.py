"""Identify files that are not audio, for error messages more specific than "damaged"."""

_MAGIC = {
    b"\xff\xd8\xff": "a JPEG image",
    b"\x89PNG": "a PNG image",
    b"GIF8": "a GIF image",
    b"II*\0": "a TIFF image",
    b"MM\0*": "a TIFF image",
}
# MP4 brands of still images, which FFmpeg reads as videos
_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
_LINE = 60


def image_format(start: bytes) -> str | None:
    """Return the name of an image format by the first bytes of a file; None for other files."""
    for magic, name in _MAGIC.items():
        if start.startswith(magic):
            return name
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "a WEBP image"
    if start[:2] == b"BM" and start[6:10] == bytes(4):
        return "a BMP image"
    if start[4:8] == b"ftyp" and start[8:12] in _BRANDS:
        return "an AVIF or HEIC image"
    return None


def first_text_line(start: bytes) -> str | None:
    """Return the first line of a text file (a web page, an LFS pointer), None for other files."""
    decoded = start.decode("utf-8", errors="ignore")
    is_text = len(decoded.encode()) >= len(start) - 3  # the last character may be cut off
    if is_text and all(letter.isprintable() or letter in "\t\r\n\f" for letter in decoded):
        return decoded.strip().partition("\n")[0].strip()[:_LINE] or None
    return None
