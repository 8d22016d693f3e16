"""A placeholder for models that read the raw input of a modality themselves."""

from typing import ClassVar

from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.encoder.base import Encoder, real_content
from mmtx_cli.types import ModalityInput, Tokens

SIDE = 8


class RawEncoder(Encoder):
    """Returns one token per image or frame that only marks which of them are present."""

    is_placeholder: ClassVar[bool] = True
    width = 1

    def forward(self, field: ModalityInput) -> Tokens:
        """Return ones where the input is real."""
        return Tokens(field.mask[..., None].float(), field.mask)

    def pooled_features(self, field: ModalityInput) -> Float[Tensor, "b c"]:
        """Return the mean picture at 8 x 8 pixels, for comparisons with nearest neighbors."""
        count = field.mask.sum(dim=1).clamp(min=1)
        mean = real_content(field).float().sum(dim=1) / count[:, None, None, None]
        return F.adaptive_avg_pool2d(mean, SIDE).flatten(1)

    def pooled_width(self) -> int:
        """Return the number of values of a picture at 8 x 8 pixels."""
        return 3 * SIDE**2
