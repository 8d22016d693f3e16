"""The ``Encoder`` base class: raw input of one modality in, token vectors out."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import ModalityInput, Patchifier, Tokens


class Encoder(nn.Module, ABC):
    """Encode a ``ModalityInput`` into ``Tokens`` of the encoder's own ``width``.

    Content whose mask is False never influences a token whose mask is True.
    """

    width: int

    fixed_size: ClassVar[bool] = False
    """True if a trained encoder accepts only images of the size it was trained with."""

    reads_features: ClassVar[bool] = False
    """True if the input is precomputed feature vectors, the manifest's ``features``."""

    reads_patches: ClassVar[bool] = False
    """True if the input is the patches of ``data.resize_mode=naflex``."""

    is_placeholder: ClassVar[bool] = False
    """True if the encoder only marks which input is present, for a head that reads the input."""

    keeps_body: ClassVar[bool] = False
    """True if the output of the frozen backbone can be cached to train the layers behind it.

    ``body_tokens`` followed by ``after_body`` then equals ``forward``.
    """

    body_prefix: ClassVar[str] = ""
    """Prefix of the names of the backbone's weights."""

    behind_body: ClassVar[tuple[str, ...]] = ()
    """Constructor arguments that do not affect the backbone's output."""

    def body_tokens(self, field: ModalityInput) -> Tokens:
        """Return the backbone's output for one modality of a batch, if it ``keeps_body``."""
        raise NotImplementedError

    def after_body(self, tokens: Tokens) -> Tokens:
        """Encode the output of ``body_tokens``."""
        raise NotImplementedError

    @abstractmethod
    def forward(self, field: ModalityInput) -> Tokens:
        """Encode one modality of a batch."""

    def pooled_features(self, field: ModalityInput) -> Float[Tensor, "b c"]:
        """Return one vector per sample for similarity search: pretrained features if possible."""
        tokens = self(field)
        return masked_mean(tokens.x, tokens.mask)

    def pooled_width(self) -> int:
        """Return the width of the ``pooled_features`` vectors."""
        return self.width

    def blocks(self) -> list[nn.Module]:
        """Return the stem (embeddings) and the blocks, in forward order.

        ``freeze=n`` freezes the stem and n blocks; ``optimizer.layer_decay`` lowers the learning
        rate towards the stem. Layers after the last block are not included.
        """
        return []

    def patching(self) -> Patchifier | None:
        """Return how input is cut into patches; None if patches cannot be encoded separately."""
        return None

    def set_feature_statistics(
        self, mean: Float[Tensor, " c"], deviation: Float[Tensor, " c"]
    ) -> None:
        """Set the mean and standard deviation of each feature; does nothing by default.

        Called once before training with statistics of the training rows, and only if the encoder
        ``reads_features``.
        """

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return constructor arguments that build the same architecture without pretrained weights.

        They replace the configured ones, so that a trained model can be rebuilt where the original
        pretrained weights are not available.
        """
        return {}


def real_content(field: ModalityInput) -> Tensor:
    """Return the data with zeros where the mask is False, so that missing content has no effect."""
    extra = field.data.dim() - field.mask.dim()
    mask = field.mask.view(*field.mask.shape, *([1] * extra))
    return field.data.masked_fill(~mask, 0)


def spread_frames(field: ModalityInput, count: int) -> Shaped[Tensor, "b count 3 h w"]:
    """Return ``count`` frames of each video, evenly spaced over its real ones.

    A video with fewer frames repeats some; a missing video gives zeros. ``field.data`` is [b, t, 3,
    height, width].
    """
    real = field.mask.sum(dim=1)
    order = (~field.mask).long().argsort(dim=1, stable=True)  # real frames first, in order
    middles = 2 * torch.arange(count, device=real.device) + 1
    index = order.gather(1, middles * real[:, None] // (2 * count))
    rows = torch.arange(real.shape[0], device=real.device)[:, None]
    return real_content(field)[rows, index]


def encode_pictures(field: ModalityInput, encode: Callable[[Tensor], Tensor]) -> Tokens:
    """Encode [b, l, 3, height, width] image by image and concatenate the tokens of each sample.

    ``encode`` maps [b * l, 3, height, width] to [b * l, n, d].
    """
    b, pictures = field.mask.shape
    x = encode(real_content(field).flatten(0, 1))
    n, width = x.shape[1:]
    return Tokens(x.reshape(b, pictures * n, width), field.mask.repeat_interleave(n, dim=1))
