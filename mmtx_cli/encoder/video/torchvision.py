"""Video networks of torchvision, pretrained on Kinetics, and a Transformer over feature maps."""

from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from mmtx_cli.encoder.backbone.base import PretrainedEncoder
from mmtx_cli.encoder.backbone.torchvision_video_body import VideoBody, kinetics_pixels, video_body
from mmtx_cli.encoder.base import spread_frames
from mmtx_cli.layer.position import GridPosition, SequencePosition
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import ModalityInput, Tokens


class TorchvisionVideoEncoder(PretrainedEncoder):
    """R3D, MC3, R(2+1)D (Tran et al. 2018), MViT (Fan et al. 2021; Li et al. 2022) or Video Swin.

    These networks cannot mask frames. They always get ``num_frames`` frames, evenly spaced over the
    real ones of a sample (a short video repeats some), so that padding never affects the output.
    """

    body: VideoBody

    def __init__(
        self,
        image_size: int = 224,
        num_frames: int = 16,
        body: str = "r3d_18",
        body_depth: int | None = None,
        weights: str | None = None,
        freeze: bool | int = False,
        lora: int = 0,
        tokens: str = "cell",
        width: int = 256,
        depth: int = 2,
        num_heads: int = 4,
        dropout: float = 0.0,
    ) -> None:
        """``body`` is r3d_18, mc3_18, r2plus1d_18, mvit_v1_b, mvit_v2_s or swin3d_t, _s, _b.

        ``body_depth`` keeps only the first blocks (null: all). ``weights`` is a torchvision weights
        name ("DEFAULT", "KINETICS400_V1": downloaded once), a local state-dict file, or null.
        ``freeze`` freezes the backbone (true) or its stem and first n blocks, including batch-norm
        statistics. ``lora`` is the rank of LoRA adapters on the attention layers of an MViT, 0 for
        none. ``tokens`` is "cell" for one token per cell of the feature map in space and time, or
        "time" for one per time step, the mean over space.
        """
        super().__init__()
        if tokens not in ("cell", "time"):
            raise ValueError(f"tokens={tokens!r} is neither 'cell' nor 'time'")
        if num_frames < 1:
            raise ValueError(f"num_frames={num_frames}: must be at least 1")
        self.num_frames = num_frames
        self.pixels = kinetics_pixels(body)
        self.body = video_body(body, weights, body_depth)
        time_steps, cells = self.body.extent(num_frames, image_size)
        self.finalize_backbone(
            freeze, lora, lambda: self.body.trial().movedim(1, -1), f"body={body}"
        )
        channels, self.width = self.width, width
        self.channels = channels
        self.project = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, width))
        self.time = SequencePosition(width, time_steps)
        self.space = GridPosition(width, cells) if tokens == "cell" else None
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, dropout=dropout)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, t, 3, height, width].

        Tokens are ordered by time step, then row by row.
        """
        x = self.features(field)
        size = x.shape[3:]
        x = x.flatten(3).permute(0, 2, 3, 1)  # b, time steps, cells, channels
        x = self.project(x if self.space else x.mean(dim=2, keepdim=True))
        present = field.mask.any(dim=1, keepdim=True)
        x = x + self.time(present.expand(-1, x.shape[1]))[:, :, None]
        if self.space:
            x = x + self.space(*size)
        x = self.transformer(self.dropout(x.flatten(1, 2)))
        return Tokens(x, present.expand(-1, x.shape[1]))

    def features(self, field: ModalityInput) -> Float[Tensor, "b c t y x"]:
        """Return the backbone's feature map."""
        return self.body(self.pixels(spread_frames(field, self.num_frames)).transpose(1, 2))

    def pooled_features(self, field: ModalityInput) -> Float[Tensor, "b c"]:
        """Return the mean of the backbone's features over space and time."""
        pooled = self.features(field).mean(dim=(2, 3, 4))
        return pooled.masked_fill(~field.mask.any(dim=1)[:, None], 0)

    def pooled_width(self) -> int:
        """Return the number of channels of the backbone's feature map."""
        return self.channels

    def blocks(self) -> list[nn.Module]:
        """Return the backbone's stem, then its blocks."""
        return [self.body.stem, *self.body.layers]

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return arguments for the same architecture with random weights."""
        return {"weights": None}
