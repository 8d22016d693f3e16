"""Size to which a decoder may scale a frame before ``fit`` (``media/transform.py``) crops it."""

from mmtx_cli.media.geometry import scaled_sides

FINE = 2
"""Up to this multiple of the target size, chroma is upsampled to full resolution before scaling."""


def scaled_size(height: int, width: int, size: int, how: str) -> tuple[int, int] | None:
    """Return the height and width to which ``fit`` scales a frame; None to leave it unscaled.

    A frame much larger than the target is scaled during conversion, so that it never exists as
    full-size RGB. For a frame near the target size, scaling its half-resolution chroma would differ
    visibly (by 4 gray levels on average) from scaling RGB.

    Args:
        height: Height of the frame.
        width: Width of the frame.
        size: Side of the square that ``fit`` returns.
        how: "crop", "pad" or "squash", as in ``fit``.
    """
    side = max(height, width) if how == "pad" else min(height, width)
    return None if side <= FINE * size else scaled_sides(height, width, size, how)
