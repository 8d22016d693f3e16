"""What every encoder is: raw input of one modality in, token vectors out."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import Field, Patching, Tokens


class Encoder(nn.Module, ABC):
    """Turns a ``Field`` into ``Tokens`` of its own ``width``.

    The content of a row whose mask is False never reaches a token whose mask is True.
    """

    width: int

    fixed_size: ClassVar[bool] = False
    """Can a trained one read pictures of no other size than it was trained with?"""

    reads_features: ClassVar[bool] = False
    """Is its input vectors that were extracted before, the manifest's ``features``?"""

    keeps_body: ClassVar[bool] = False
    """Can the output of its frozen body be kept, and what is behind the body be trained on it?
    Then it has ``body_tokens`` and ``after_body``, one after the other as good as ``forward``."""

    body_prefix: ClassVar[str] = ""
    """How the names of the body's weights begin."""

    behind_body: ClassVar[tuple[str, ...]] = ()
    """Arguments that the body's output does not depend on."""

    def body_tokens(self, field: Field) -> Tokens:
        """What the body makes of one modality of a batch, where it ``keeps_body``."""
        raise NotImplementedError

    def after_body(self, tokens: Tokens) -> Tokens:
        """Encode what ``body_tokens`` gave."""
        raise NotImplementedError

    @abstractmethod
    def forward(self, field: Field) -> Tokens:
        """Encode one modality of a batch."""

    def summary(self, field: Field) -> Float[Tensor, "b c"]:
        """One vector a sample, to find like ones by: pre-trained features where there are some."""
        tokens = self(field)
        return masked_mean(tokens.x, tokens.mask)

    def summary_width(self) -> int:
        """Numbers of a summary."""
        return self.width

    def blocks(self) -> list[nn.Module]:
        """The parts in the order that the content passes them, the stem (embeddings) first.

        ``freeze=n`` keeps the stem and n blocks; ``optimizer.layer_decay`` lowers the learning
        rate towards the stem. What comes after the last block belongs to none.
        """
        return []

    def patching(self) -> Patching | None:
        """How it cuts its input into patches, if it can encode some of them without the others."""
        return None

    def standardise(self, mean: Float[Tensor, " c"], deviation: Float[Tensor, " c"]) -> None:
        """Take what training rows say of each number of their features; by default, pass it over.

        Only an encoder that ``reads_features`` is told, once, before its training.
        """

    def portable(self) -> dict[str, Any]:
        """Arguments that build an encoder of the same shape without its pretrained weights.

        In place of the configured ones, they let a trained model be rebuilt where the weights
        that it began with are not to be had.
        """
        return {}


def real_content(field: Field) -> Tensor:
    """The data with zeros where nothing is real, so that absent content cannot matter."""
    extra = field.data.dim() - field.mask.dim()
    mask = field.mask.view(*field.mask.shape, *([1] * extra))
    return field.data.masked_fill(~mask, 0)


def spread_frames(field: Field, count: int) -> Shaped[Tensor, "b count 3 h w"]:
    """``count`` frames of each video, spread evenly over its real ones; zeros without any.

    A video with fewer repeats some. ``field.data`` is [b, t, 3, height, width].
    """
    real = field.mask.sum(dim=1)
    order = (~field.mask).long().argsort(dim=1, stable=True)  # the real ones first, in order
    middles = 2 * torch.arange(count, device=real.device) + 1
    index = order.gather(1, middles * real[:, None] // (2 * count))
    rows = torch.arange(len(real), device=real.device)[:, None]
    return real_content(field)[rows, index]


def encode_pictures(field: Field, encode: Callable[[Tensor], Tensor]) -> Tokens:
    """Encode [b, l, 3, height, width] picture by picture; a sample's tokens follow each other.

    ``encode`` turns [b * l, 3, height, width] into [b * l, n, d].
    """
    b, pictures = field.mask.shape
    x = encode(real_content(field).flatten(0, 1))
    n, width = x.shape[1:]
    return Tokens(x.reshape(b, pictures * n, width), field.mask.repeat_interleave(n, dim=1))
