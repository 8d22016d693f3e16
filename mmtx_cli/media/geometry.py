"""How a picture becomes a square: to what size it is scaled, and what is cut off or added."""

FITS = ("crop", "pad", "squash")


def scaled_sides(height: int, width: int, size: int, how: str) -> tuple[int, int]:
    """Return the height and width to which a picture is scaled.

    "crop" scales the shorter side to ``size``, "pad" the longer one, "squash" both.

    Args:
        height: Height of the picture.
        width: Width of the picture.
        size: Side of the square.
        how: One of ``FITS``.
    """
    if how == "squash":
        return size, size
    if how == "pad":
        longer = max(height, width)
        return max(1, round(size * height / longer)), max(1, round(size * width / longer))
    shorter = min(height, width)
    return size * height // shorter, size * width // shorter


def padding(side: int, size: int) -> int:
    """Return the pixels before a side of a picture that is padded to ``size``."""
    return (size - side) // 2


def excess(side: int, size: int) -> int:
    """Return the pixels that are cut off before a side of a picture, as ``CenterCrop`` does."""
    return round((side - size) / 2)
