"""Pixel normalization of pretrained image encoders."""

from collections.abc import Sequence

from mmtx_cli.hub.huggingface import preprocessor
from mmtx_cli.layer.input.pixel_norm import Pixels


def pixels_of(
    weights: str | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Pixels:
    """Return the given pixel normalization, by default that of the weights, or ImageNet's."""
    if (mean is None) != (std is None):
        raise ValueError("mean and std: set both or neither")
    if mean is not None and std is not None:
        return Pixels(mean, std)
    if weights is None:
        return Pixels()
    processor = preprocessor(weights, "ImageProcessor")
    # the processor computes (bytes * factor - offset - mean) / std; Pixels starts from bytes / 255
    factor = 255 * (processor.rescale_factor if processor.do_rescale else 1)
    offset = 1 if getattr(processor, "offset", False) else 0
    mean, std = (
        (processor.image_mean, processor.image_std)
        if processor.do_normalize
        else ([0.0] * 3, [1.0] * 3)
    )
    return Pixels([(offset + m) / factor for m in mean], [s / factor for s in std])
