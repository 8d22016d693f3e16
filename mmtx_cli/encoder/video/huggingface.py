"""Video encoders of the transformers library."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from mmtx_cli.encoder.backbone.base import PretrainedEncoder, statistics
from mmtx_cli.encoder.backbone.hf_model import hub_model
from mmtx_cli.encoder.backbone.pixels import pixels_of
from mmtx_cli.encoder.base import spread_frames
from mmtx_cli.types import ModalityInput, Tokens


class HuggingFaceVideoEncoder(PretrainedEncoder):
    """VideoMAE, TimeSformer, ViViT; the tokens are their last hidden states, one per tubelet.

    These models need a fixed number of frames. They are evenly spaced over the real frames of a
    sample, and a short video repeats some, so that padding never affects the output. Requires ``pip
    install mmtx[hf]``.
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
        """``weights`` is a model on huggingface.co, a local folder, or null.

        If it is null, a new model of ``architecture`` (a ``model_type`` of transformers) with the
        given sizes is built for ``num_frames`` frames of ``image_size``. ``config`` sets further
        values of the model's configuration. ``freeze`` freezes the backbone (true) or its
        embeddings and first n blocks. ``lora`` is the rank of LoRA adapters on the attention layers
        (0 for none); it freezes all pretrained weights. ``mean`` and ``std`` of the pixels default
        to those of the weights, or ImageNet's for a new model.
        """
        super().__init__()
        sizes = {"patch_size": patch_size, "width": width, "depth": depth, "num_heads": num_heads}
        new_config = {"image_size": image_size, "num_frames": num_frames}
        self.hub = hub_model(weights, architecture, "vision", sizes, config, **new_config)
        self.body = self.hub.body
        self.pixels = pixels_of(weights, mean, std)
        self.num_frames: int = self.hub.config.num_frames
        trial = torch.zeros(1, self.num_frames, 3, image_size, image_size, dtype=torch.uint8)
        fault = (
            f"image_size={image_size}: the model does not support {self.num_frames} frames of this "
            f"size (its own is {self.hub.config.image_size})"
        )
        used = self.finalize_backbone(
            freeze, lora, lambda: self.read(trial), fault, self.hub.blocks()
        )
        self.hub.check(self.width, used)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, t, 3, height, width]."""
        x = self.read(spread_frames(field, self.num_frames))
        return Tokens(x, field.mask.any(dim=1, keepdim=True).expand(-1, x.shape[1]))

    def read(self, frames: Shaped[Tensor, "b t 3 h w"]) -> Float[Tensor, "b n d"]:
        """Encode as many frames as the model expects."""
        return self.body(pixel_values=self.pixels(frames)).last_hidden_state  # type: ignore[no-any-return]

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return arguments for the same architecture with random weights."""
        return {**self.hub.rebuild_kwargs(), **statistics(self.pixels)}
