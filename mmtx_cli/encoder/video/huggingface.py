"""A video encoder of the transformers library."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from mmtx_cli.encoder.backbone.base import PretrainedEncoder, statistics
from mmtx_cli.encoder.backbone.hf_hub import pixels_of
from mmtx_cli.encoder.backbone.hf_model import hub_model
from mmtx_cli.encoder.base import spread_frames
from mmtx_cli.types import Field, Tokens


class HuggingFaceVideo(PretrainedEncoder):
    """VideoMAE, TimeSformer, ViViT: their last hidden states, tubelet by tubelet.

    Such a model reads a fixed number of frames. They are spread evenly over the real ones of a
    sample, of which a short video repeats some, so that padding never matters.
    Needs the packages of ``pip install mmtx[hf]``.
    """

    fixed_size: ClassVar[bool] = True

    def __init__(
        self,
        image_size: int = 224,
        num_frames: int = 8,
        weights: str | None = None,
        architecture: str = "videomae",
        patch_size: int | None = None,
        width: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        config: dict[str, Any] | None = None,
        freeze: bool | int = False,
        lora: int = 0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        """``weights`` is a name on huggingface.co, a local folder, or null.

        Where it is null, a new ``architecture`` (its ``model_type`` in the library) of the given
        sizes is made for ``num_frames`` frames of ``image_size``. ``config`` sets further values
        of the model's configuration. ``freeze`` keeps the body (true) or its embeddings and first
        n blocks as they are; ``lora`` is the rank of adapters of its attentions. ``mean`` and
        ``std`` of the pixels are by default those that come with the weights, ImageNet's for a
        new model.
        """
        super().__init__()
        sizes = {"patch_size": patch_size, "width": width, "depth": depth, "num_heads": num_heads}
        new = {"image_size": image_size, "num_frames": num_frames}
        self.hub = hub_model(weights, architecture, "vision", sizes, config, **new)
        self.body = self.hub.body
        self.pixels = pixels_of(weights, mean, std)
        self.num_frames: int = self.hub.config.num_frames
        trial = torch.zeros(1, self.num_frames, 3, image_size, image_size, dtype=torch.uint8)
        fault = (
            f"image_size={image_size}: the model cannot read {self.num_frames} such frames "
            f"(its own are of {self.hub.config.image_size})"
        )
        used = self.settle(freeze, lora, lambda: self.read(trial), fault, self.hub.blocks())
        self.hub.check(self.width, used)

    def forward(self, field: Field) -> Tokens:
        """``field.data`` is [b, t, 3, height, width]."""
        x = self.read(spread_frames(field, self.num_frames))
        return Tokens(x, field.mask.any(dim=1, keepdim=True).expand(-1, x.shape[1]))

    def read(self, frames: Shaped[Tensor, "b t 3 h w"]) -> Float[Tensor, "b n d"]:
        """As many frames as the model reads to its tokens."""
        return self.body(pixel_values=self.pixels(frames)).last_hidden_state  # type: ignore[no-any-return]

    def portable(self) -> dict[str, Any]:
        """The same shape with random weights."""
        return {**self.hub.portable(), **statistics(self.pixels)}
