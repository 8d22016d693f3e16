"""What every encoder is: raw input of one modality in, token vectors out."""

from abc import ABC, abstractmethod
from collections.abc import Callable

from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import Field, Tokens


class Encoder(nn.Module, ABC):
    """Turns a ``Field`` into ``Tokens`` of its own ``width``.

    The content of a row whose mask is False never reaches a token whose mask is True.
    """

    width: int

    @abstractmethod
    def forward(self, field: Field) -> Tokens:
        """Encode one modality of a batch."""

    def summary(self, field: Field) -> Float[Tensor, "b c"]:
        """One vector a sample, to find like ones by: pre-trained features where there are some."""
        tokens = self(field)
        return masked_mean(tokens.x, tokens.mask)


def real_content(field: Field) -> Tensor:
    """The data with zeros where nothing is real, so that absent content cannot matter."""
    extra = field.data.dim() - field.mask.dim()
    mask = field.mask.view(*field.mask.shape, *([1] * extra))
    return field.data.masked_fill(~mask, 0)


def encode_pictures(field: Field, encode: Callable[[Tensor], Tensor]) -> Tokens:
    """Encode [b, l, 3, height, width] picture by picture; a sample's tokens follow each other.

    ``encode`` turns [b * l, 3, height, width] into [b * l, n, d].
    """
    b, pictures = field.mask.shape
    x = encode(real_content(field).flatten(0, 1))
    n, width = x.shape[1:]
    return Tokens(x.view(b, pictures * n, width), field.mask.repeat_interleave(n, dim=1))
