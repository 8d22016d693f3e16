"""Image encoders of the transformers library."""

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from mmtx_cli.encoder.backbone.base import PretrainedEncoder, statistics
from mmtx_cli.encoder.backbone.hf_model import hub_model
from mmtx_cli.encoder.backbone.pixels import pixels_of
from mmtx_cli.encoder.base import encode_pictures
from mmtx_cli.types import ModalityInput, Tokens


class HuggingFaceImageEncoder(PretrainedEncoder):
    """ViT, DINOv2, BEiT, Swin, ConvNeXt, the vision tower of CLIP or SigLIP, …

    The tokens of a Transformer are its last hidden states, including the class token; those of a
    convolutional network are the cells of its last feature map. Requires ``pip install mmtx[hf]``.
    """

    fixed_size: ClassVar[bool] = True

    def __init__(
        self,
        image_size: int = 224,
        weights: str | None = None,
        architecture: str = "vit",
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
        given sizes is built for images of ``image_size``. Pretrained positions are interpolated to
        ``image_size`` if the model supports it. ``config`` sets further values of the model's
        configuration. ``freeze`` freezes the backbone (true) or its embeddings and first n blocks.
        ``lora`` is the rank of LoRA adapters on the attention layers (0 for none); it freezes all
        pretrained weights. ``mean`` and ``std`` of the pixels default to those of the weights, or
        ImageNet's for a new model.
        """
        super().__init__()
        sizes = {"patch_size": patch_size, "width": width, "depth": depth, "num_heads": num_heads}
        self.hub = hub_model(weights, architecture, "vision", sizes, config, image_size=image_size)
        self.body = self.hub.body
        self.pixels = pixels_of(weights, mean, std)
        can_interpolate = (
            "interpolate_pos_encoding" in inspect.signature(self.body.forward).parameters
        )
        native_size = getattr(self.hub.config, "image_size", image_size)
        self.stretch = (
            {"interpolate_pos_encoding": True}
            if can_interpolate and native_size != image_size
            else {}
        )
        trial = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
        fault = f"image_size={image_size}: not supported by the model (its own is {native_size})"
        used = self.finalize_backbone(
            freeze, lora, lambda: self.read(trial), fault, self.hub.blocks()
        )
        self.hub.check(self.width, used)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l, 3, height, width]: l images per sample."""
        return encode_pictures(field, self.read)

    def read(self, pictures: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Return the last hidden states, or the cells of the feature map, row by row."""
        x = self.body(pixel_values=self.pixels(pictures), **self.stretch).last_hidden_state
        return x.flatten(2).mT if x.dim() == 4 else x  # type: ignore[no-any-return]

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return arguments for the same architecture with random weights."""
        return {**self.hub.rebuild_kwargs(), **statistics(self.pixels)}
