"""Any image encoder applied to every frame, then a Transformer over time."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.layer.change import Change
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.layer.position import SequencePosition
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import ModalityInput, Tokens


class PerFrameVideoEncoder(Encoder):
    """Encode each frame as an image, pool it to a few tokens, then a Transformer over frames.

    This is CLIP4Clip's "seqTransf" (Luo et al. 2021, section 3.3) with any image encoder,
    pretrained or not. The differences between the tokens of consecutive frames are added to them
    (``Change``).
    """

    def __init__(
        self,
        image: Any,
        num_frames: int = 8,
        tokens_per_frame: int = 1,
        width: int = 256,
        depth: int = 2,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
    ) -> None:
        """``image`` is the encoder of a frame.

        Positions are learned for ``num_frames`` frames and interpolated for more. With
        ``tokens_per_frame=1`` a frame is the mean of its tokens; more tokens are as many learned
        weighted means. The tokens are projected only if ``width`` differs from the image encoder's.
        """
        super().__init__()
        if not isinstance(image, Encoder):
            raise ValueError(
                f"image={image!r} is not an encoder; set encoder.video.image._target_=…"
            )
        if tokens_per_frame < 1:
            raise ValueError(f"tokens_per_frame={tokens_per_frame}: must be at least one token")
        self.width = width
        self.tokens_per_frame = tokens_per_frame
        self.image: Encoder = image
        self.project: nn.Module = nn.Identity()
        if image.width != width:
            self.project = nn.Sequential(nn.LayerNorm(image.width), nn.Linear(image.width, width))
        self.pool = Queries(width, tokens_per_frame) if tokens_per_frame > 1 else None
        self.change = Change(width)
        self.position = SequencePosition(width, num_frames)
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, mlp_ratio, dropout)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, t, 3, height, width]; tokens are ordered frame by frame."""
        b, t = field.mask.shape
        frames = self.image(as_pictures(field))
        x = self.pooled(Tokens(self.project(frames.x), frames.mask)).unflatten(0, (b, t))
        x = x + self.change(x, field.mask[..., None])
        x = (x + self.position(field.mask)[:, :, None]).flatten(1, 2)
        mask = field.mask.repeat_interleave(self.tokens_per_frame, dim=1)
        return Tokens(self.transformer(self.dropout(x), mask), mask)

    def pooled(self, frames: Tokens) -> Float[Tensor, "f k d"]:
        """Pool each frame to ``tokens_per_frame`` tokens."""
        if self.pool is None:
            return masked_mean(frames.x, frames.mask)[:, None]
        return self.pool(frames.x, frames.mask)

    def pooled_features(self, field: ModalityInput) -> Float[Tensor, "b c"]:
        """Return the mean over the frames of the image encoder's summaries."""
        frames = self.image.pooled_features(as_pictures(field))
        return masked_mean(frames.unflatten(0, field.mask.shape), field.mask)

    def pooled_width(self) -> int:
        """Return the width of the image encoder's pooled features."""
        return self.image.pooled_width()

    def blocks(self) -> list[nn.Module]:
        """Return the blocks of the image encoder."""
        return self.image.blocks()

    def portable(self) -> dict[str, Any]:
        """Return the arguments to change in the image encoder, nested in ``image``."""
        changes = self.image.portable()
        return {"image": changes} if changes else {}


def as_pictures(field: ModalityInput) -> ModalityInput:
    """Return every frame as a sample with one image."""
    return ModalityInput(field.data.flatten(0, 1)[:, None], field.mask.flatten()[:, None])


class Queries(nn.Module):
    """Learned queries, each of which takes an attention-weighted mean of all tokens.

    The tokens are not projected (unlike in Lee et al. 2019, section 3.2): the means stay in the
    space of the image encoder's tokens.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.queries = nn.Linear(dim, count, bias=False)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b k d"]:
        """Return one token per query; zeros if no token is real."""
        absent = ~mask[:, None]
        scores = self.queries(self.norm(x)).transpose(1, 2)
        scores = scores.masked_fill(absent, torch.finfo(scores.dtype).min)
        return scores.softmax(dim=2).masked_fill(absent, 0) @ x  # type: ignore[no-any-return]
