"""An image encoder of the transformers library."""

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

from mmtx_cli.encoder.backbone.base import PretrainedEncoder, statistics
from mmtx_cli.encoder.backbone.hf_hub import pixels_of
from mmtx_cli.encoder.backbone.hf_model import hub_model
from mmtx_cli.encoder.base import encode_pictures
from mmtx_cli.types import Field, Tokens


class HuggingFaceImage(PretrainedEncoder):
    """ViT, DINOv2, BEiT, Swin, ConvNeXt, the vision tower of CLIP or SigLIP, …

    A Transformer gives its last hidden states, class token included, a convolutional network a
    token a cell of its last map. Needs the packages of ``pip install mmtx[hf]``.
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
        """``weights`` is a name on huggingface.co, a local folder, or null.

        Where it is null, a new ``architecture`` (its ``model_type`` in the library) of the given
        sizes is made for pictures of ``image_size``; pretrained positions are stretched to it
        where the model can. ``config`` sets further values of the model's configuration.
        ``freeze`` keeps the body (true) or its embeddings and first n blocks as they are;
        ``lora`` is the rank of adapters of its attentions. ``mean`` and ``std`` of the pixels are
        by default those that come with the weights, ImageNet's for a new model.
        """
        super().__init__()
        sizes = {"patch_size": patch_size, "width": width, "depth": depth, "num_heads": num_heads}
        self.hub = hub_model(weights, architecture, "vision", sizes, config, image_size=image_size)
        self.body = self.hub.body
        self.pixels = pixels_of(weights, mean, std)
        can = "interpolate_pos_encoding" in inspect.signature(self.body.forward).parameters
        own = getattr(self.hub.config, "image_size", image_size)
        self.stretch = {"interpolate_pos_encoding": True} if can and own != image_size else {}
        trial = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
        fault = f"image_size={image_size}: the model cannot read such pictures (its own are {own})"
        used = self.settle(freeze, lora, lambda: self.read(trial), fault, self.hub.blocks())
        self.hub.check(self.width, used)

    def forward(self, field: Field) -> Tokens:
        """``field.data`` is [b, l, 3, height, width] for l pictures a sample."""
        return encode_pictures(field, self.read)

    def read(self, pictures: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Patches, or the cells of a map, row by row."""
        x = self.body(pixel_values=self.pixels(pictures), **self.stretch).last_hidden_state
        return x.flatten(2).mT if x.dim() == 4 else x  # type: ignore[no-any-return]

    def portable(self) -> dict[str, Any]:
        """The same shape with random weights."""
        return {**self.hub.portable(), **statistics(self.pixels)}
