"""Vision Transformers of torchvision: ViT and Swin, optionally pretrained."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mmtx_cli.encoder.backbone.base import (
    PretrainedEncoder,
    is_file_name,
    load_state,
    torchvision_model,
)
from mmtx_cli.encoder.base import encode_pictures
from mmtx_cli.hub.messages import one_line
from mmtx_cli.layer.input.pixel_norm import IMAGENET_MEAN, IMAGENET_STD, Pixels
from mmtx_cli.types import ModalityInput, Tokens


class TorchvisionViTImageEncoder(PretrainedEncoder):
    """vit_b_16 … vit_h_14 (Dosovitskiy et al. 2021), swin_t … swin_v2_b (Liu et al. 2021).

    The tokens of a ViT are the class token and one per patch, those of a Swin are the cells of its
    last feature map.
    """

    fixed_size: ClassVar[bool] = True

    def __init__(
        self,
        image_size: int = 224,
        body: str = "vit_b_16",
        weights: str | None = None,
        freeze: bool | int = False,
        patch_size: int | None = None,
        width: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        """``body`` is the torchvision name of the backbone.

        ``weights`` is a torchvision weights name ("DEFAULT", "IMAGENET1K_V1": downloaded once), a
        local state-dict file, or null. A ViT's positions are interpolated to ``image_size``.
        ``freeze`` freezes the backbone (true) or its stem and first n blocks. ``patch_size``,
        ``width``, ``depth`` and ``num_heads`` override the sizes of a new ViT.
        """
        super().__init__()
        self.pixels = Pixels(mean, std)
        sizes = {
            "patch_size": patch_size,
            "hidden_dim": width,
            "num_layers": depth,
            "num_heads": num_heads,
        }
        given_sizes = {name: value for name, value in sizes.items() if value is not None}
        if given_sizes and (weights is not None or not body.startswith("vit_")):
            raise ValueError(
                "patch_size, width, depth and num_heads apply only to new ViTs; omit them for "
                f"{weights or body}"
            )
        model = vit(body, weights, image_size, given_sizes) if body.startswith("vit_") else None
        self.body = VitBody(model) if model else SwinBody(torchvision_model(body, weights), body)
        trial = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
        fault = f"image_size={image_size}: not supported by {body}"
        self.finalize_backbone(freeze, 0, lambda: self.encode(trial), fault, self.body.layers())

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l, 3, image_size, image_size]: l images per sample."""
        return encode_pictures(field, self.encode)

    def encode(self, pixels: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Return patches or cells row by row; a ViT's class token comes first."""
        return self.body(self.pixels(pixels))  # type: ignore[no-any-return]

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return arguments for the same architecture with random weights."""
        return {"weights": None}


class VitBody(nn.Module):
    """A torchvision ViT without its classifier."""

    def __init__(self, vit: Any) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Return the tokens, the class token first."""
        patches = self.vit._process_input(pixels)
        first = self.vit.class_token.expand(patches.shape[0], -1, -1)
        return self.vit.encoder(torch.cat([first, patches], dim=1))

    def layers(self) -> list[nn.Module]:
        """Return the blocks."""
        return list(self.vit.encoder.layers)


class SwinBody(nn.Module):
    """A torchvision Swin without its classifier."""

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        if not name.startswith("swin"):
            raise ValueError(f"body={name!r} is neither a ViT nor a Swin; try encoder/image=cnn")
        self.features, self.norm = model.features, model.norm

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Return the cells of the last feature map, row by row."""
        return self.norm(self.features(pixels)).flatten(1, 2)

    def layers(self) -> list[nn.Module]:
        """Return the stages, each with the patch merging before it."""
        _, first, *rest = self.features
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return [first, *(nn.ModuleList(pair) for pair in pairs)]


def vit(name: str, weights: str | None, image_size: int, sizes: dict[str, int]) -> Any:
    """Build a ViT without its classifier, with positions for ``image_size``.

    Args:
        name: Model name of torchvision.
        weights: Weights name of torchvision, local file, or None.
        image_size: Image size in pixels.
        sizes: Arguments of ``VisionTransformer`` that change the architecture.

    Raises:
        ValueError: If the sizes or weights do not fit, or the weights cannot be found or read.
    """
    from torchvision.models.vision_transformer import interpolate_embeddings

    model = new_vit(name, image_size, sizes)
    model.heads = nn.Identity()
    if weights is None:
        return model
    local = is_file_name(weights)
    state = load_state(weights) if local else torchvision_model(name, weights).state_dict()
    state = {key: x for key, x in state.items() if not key.startswith("heads.")}
    try:
        model.load_state_dict(interpolate_embeddings(image_size, model.patch_size, state))
    except (RuntimeError, KeyError, ValueError) as error:
        raise ValueError(f"weights={weights} do not fit {name}: {one_line(error)}") from error
    return model


def new_vit(name: str, image_size: int, sizes: dict[str, int]) -> Any:
    """Build a ViT with random weights, of the sizes of its name or of ``sizes``."""
    from torchvision.models import VisionTransformer

    try:
        if sizes:
            arguments: dict[str, int] = {
                "patch_size": 16, "hidden_dim": 768, "num_layers": 12, "num_heads": 12, **sizes
            }  # fmt: skip
            return VisionTransformer(image_size, mlp_dim=4 * arguments["hidden_dim"], **arguments)
        return torchvision_model(name, None, image_size=image_size)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"{image_size=} does not fit {name}: {one_line(error)}") from error
