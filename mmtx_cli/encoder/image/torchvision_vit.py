"""The vision Transformers of torchvision: ViT and Swin, pretrained or not."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mmtx_cli.encoder.backbone.base import (
    PretrainedEncoder,
    brief,
    is_file_name,
    load_state,
    torchvision_model,
)
from mmtx_cli.encoder.base import encode_pictures
from mmtx_cli.layer.input.pixel_norm import IMAGENET_MEAN, IMAGENET_STD, Pixels
from mmtx_cli.types import Field, Tokens


class ImageTorchvisionVit(PretrainedEncoder):
    """vit_b_16 … vit_h_14 (Dosovitskiy et al. 2021), swin_t … swin_v2_b (Liu et al. 2021).

    A ViT gives its class token and a token a patch, a Swin a token a cell of its last map.
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
        """``body`` is a torchvision name.

        ``weights`` is a torchvision weights name ("DEFAULT", "IMAGENET1K_V1": downloaded once), a
        local state-dict file, or null. The positions of a ViT are stretched to ``image_size``.
        ``freeze`` keeps the body (true) or its stem and first n blocks as they are.
        ``patch_size``, ``width``, ``depth`` and ``num_heads`` shape a new ViT otherwise than
        ``body`` says.
        """
        super().__init__()
        self.pixels = Pixels(mean, std)
        sizes = {
            "patch_size": patch_size,
            "hidden_dim": width,
            "num_layers": depth,
            "num_heads": num_heads,
        }
        said = {name: value for name, value in sizes.items() if value is not None}
        if said and (weights is not None or not body.startswith("vit_")):
            raise ValueError(
                "patch_size, width, depth and num_heads shape a new ViT: leave them out for "
                f"{weights or body}"
            )
        model = vit(body, weights, image_size, said) if body.startswith("vit_") else None
        self.body = VitBody(model) if model else SwinBody(torchvision_model(body, weights), body)
        trial = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
        fault = f"image_size={image_size}: {body} cannot read such pictures"
        self.settle(freeze, 0, lambda: self.encode(trial), fault, self.body.layers())

    def forward(self, field: Field) -> Tokens:
        """``field.data`` is [b, l, 3, image_size, image_size] for l pictures a sample."""
        return encode_pictures(field, self.encode)

    def encode(self, pixels: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Patches row by row; with a ViT the class token stands before them."""
        return self.body(self.pixels(pixels))  # type: ignore[no-any-return]

    def portable(self) -> dict[str, Any]:
        """The same shape with random weights."""
        return {"weights": None}


class VitBody(nn.Module):
    """A ViT of torchvision without its classifier."""

    def __init__(self, vit: Any) -> None:
        super().__init__()
        self.vit = vit

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """The tokens that the classifier takes the first of."""
        patches = self.vit._process_input(pixels)
        first = self.vit.class_token.expand(len(patches), -1, -1)
        return self.vit.encoder(torch.cat([first, patches], dim=1))

    def layers(self) -> list[nn.Module]:
        """The blocks."""
        return list(self.vit.encoder.layers)


class SwinBody(nn.Module):
    """A Swin of torchvision without its classifier."""

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        if not name.startswith("swin"):
            raise ValueError(f"body={name!r} is neither a ViT nor a Swin; try encoder/image=cnn")
        self.features, self.norm = model.features, model.norm

    def forward(self, pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """The cells of the last map, row by row."""
        return self.norm(self.features(pixels)).flatten(1, 2)

    def layers(self) -> list[nn.Module]:
        """The stages, each with the merging of patches before it."""
        _, first, *rest = self.features
        pairs = zip(rest[::2], rest[1::2], strict=True)
        return [first, *(nn.ModuleList(pair) for pair in pairs)]


def vit(name: str, weights: str | None, image_size: int, sizes: dict[str, int]) -> Any:
    """A ViT whose positions fit ``image_size``, without its classifier."""
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
        raise ValueError(f"weights={weights} do not fit {name}: {brief(error)}") from error
    return model


def new_vit(name: str, image_size: int, sizes: dict[str, int]) -> Any:
    """A ViT with random weights, as its name or as ``sizes`` say."""
    from torchvision.models import VisionTransformer

    try:
        if sizes:
            given: dict[str, int] = {
                "patch_size": 16, "hidden_dim": 768, "num_layers": 12, "num_heads": 12, **sizes
            }  # fmt: skip
            return VisionTransformer(image_size, mlp_dim=4 * given["hidden_dim"], **given)
        return torchvision_model(name, None, image_size=image_size)
    except (AssertionError, RuntimeError) as error:
        raise ValueError(f"{image_size=} does not fit {name}: {brief(error)}") from error
