"""What a file is that is neither sound nor video: the reason says more than "damaged"."""

_PICTURES = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
}
# the names under which the container of MP4 holds a picture
_PICTURE_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1", b"msf1")
_LINE = 60


def is_picture(start: bytes) -> bool:
    """Whether FFmpeg could take a picture for a video; ``start`` are the first bytes."""
    return start[4:8] == b"ftyp" and start[8:12] in _PICTURE_BRANDS


def foreign(start: bytes) -> str | None:
    """Name a picture or a text by its first bytes."""
    for magic, name in _PICTURES.items():
        if start.startswith(magic):
            return f"a {name} picture"
    if is_picture(start):
        return "an AVIF or HEIC picture"
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "a WEBP picture"
    text = start.decode("utf-8", errors="ignore")
    plain = len(text.encode()) >= len(start) - 3  # the last character may be cut
    if plain and all(character.isprintable() or character in "\t\r\n\f" for character in text):
        first = text.strip().partition("\n")[0].strip()
        return f"text, beginning {first[:_LINE]!r}"
    return None
