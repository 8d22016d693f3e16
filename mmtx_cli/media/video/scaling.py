"""To what size a decoder may scale a frame before ``media/transform.py``'s ``fit`` cuts it."""

FINE = 2
"""Up to this many times the wanted size, colours are brought to full resolution before scaling."""


def scaled_size(height: int, width: int, size: int, how: str) -> tuple[int, int] | None:
    """Return height and width of what ``fit`` scales a frame to; None to leave it as it is.

    A frame much larger than wanted is scaled while it is converted, so that it never exists as
    full-size RGB. Scaling the half-resolution colours of a frame of nearly the wanted size would
    differ visibly (by 4 grey levels in the mean) from scaling RGB.
    """
    if how == "pad":
        longer = max(height, width)
        if longer <= FINE * size:
            return None
        return max(1, round(size * height / longer)), max(1, round(size * width / longer))
    shorter = min(height, width)
    if shorter <= FINE * size:
        return None
    if how == "squash":
        return size, size
    return size * height // shorter, size * width // shorter
