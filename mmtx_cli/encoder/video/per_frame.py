"""Any image encoder on every frame, then a Transformer over time."""

from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.layer.change import Change
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.layer.position import SequencePosition
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import Field, Tokens


class VideoFrames(Encoder):
    """Each frame is a picture; what is left of it are few tokens, which look at each other.

    The late fusion of CLIP4Clip's "seqTransf" (Luo et al. 2021, section 3.3) over any image
    encoder, pre-trained or not. What a frame's tokens differ in from those of the frame before is
    added to them (``Change``).
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

        ``num_frames`` have positions, more frames stretch them. ``tokens_per_frame`` 1 is the
        mean of a frame's tokens; more are as many learned weighted means. Only where ``width``
        differs from the image encoder's are the tokens projected.
        """
        super().__init__()
        if not isinstance(image, Encoder):
            raise ValueError(f"image={image!r} is no encoder; write encoder.video.image._target_=…")
        if tokens_per_frame < 1:
            raise ValueError(
                f"tokens_per_frame={tokens_per_frame}: a frame needs one token at least"
            )
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

    def forward(self, field: Field) -> Tokens:
        """``field.data`` is [b, t, 3, height, width]; a frame's tokens follow each other."""
        b, t = field.mask.shape
        frames = self.image(as_pictures(field))
        x = self.pooled(Tokens(self.project(frames.x), frames.mask)).unflatten(0, (b, t))
        x = x + self.change(x, field.mask[..., None])
        x = (x + self.position(field.mask)[:, :, None]).flatten(1, 2)
        mask = field.mask.repeat_interleave(self.tokens_per_frame, dim=1)
        return Tokens(self.transformer(self.dropout(x), mask), mask)

    def pooled(self, frames: Tokens) -> Float[Tensor, "f k d"]:
        """The few tokens of each frame."""
        if self.pool is None:
            return masked_mean(frames.x, frames.mask)[:, None]
        return self.pool(frames.x, frames.mask)

    def summary(self, field: Field) -> Float[Tensor, "b c"]:
        """Mean over the frames of what sums up each as a picture."""
        frames = self.image.summary(as_pictures(field))
        return masked_mean(frames.unflatten(0, field.mask.shape), field.mask)

    def summary_width(self) -> int:
        """Numbers of the image encoder's summary."""
        return self.image.summary_width()

    def blocks(self) -> list[nn.Module]:
        """Those of the image encoder."""
        return self.image.blocks()

    def portable(self) -> dict[str, Any]:
        """What the image encoder wants changed, below ``image``."""
        changes = self.image.portable()
        return {"image": changes} if changes else {}


def as_pictures(field: Field) -> Field:
    """Every frame as a sample that has one picture."""
    return Field(field.data.flatten(0, 1)[:, None], field.mask.flatten()[:, None])


class Queries(nn.Module):
    """Learned queries, each of which takes a weighted mean of all tokens.

    The tokens themselves are not projected (unlike Lee et al. 2019, section 3.2): the means stay
    in the space of the image encoder's tokens.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.queries = nn.Linear(dim, count, bias=False)

    def forward(
        self, x: Float[Tensor, "b n d"], mask: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b k d"]:
        """One token a query; zero where nothing is real."""
        absent = ~mask[:, None]
        scores = self.queries(self.norm(x)).transpose(1, 2)
        scores = scores.masked_fill(absent, torch.finfo(scores.dtype).min)
        return scores.softmax(dim=2).masked_fill(absent, 0) @ x  # type: ignore[no-any-return]
