"""Any image network of timm (PyTorch Image Models)."""

import re
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from mmtx_cli.encoder.backbone.base import (
    PretrainedEncoder,
    brief,
    is_file_name,
    load_state,
    missing_package,
    statistics,
)
from mmtx_cli.encoder.base import encode_pictures
from mmtx_cli.layer.input.pixel_norm import Pixels
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.layer.position import GridPosition
from mmtx_cli.types import Field, Tokens

STACKS = ("blocks", "stages", "layers")
"""What timm calls the container of a network's blocks."""
STAGE = re.compile(r"(layer|stage|block|s)\d+")
"""… or each of its stages, where there is no container."""


class ImageTimm(PretrainedEncoder):
    """A Transformer gives its tokens, a convolutional network a token a cell of its last map.

    The cells get learned positions, which a map has none of. Needs the packages of
    ``pip install mmtx[timm]``.
    """

    fixed_size: ClassVar[bool] = True

    def __init__(
        self,
        image_size: int = 224,
        name: str = "vit_small_patch16_224",
        weights: str | None = None,
        patch_size: int | None = None,
        width: int | None = None,
        depth: int | None = None,
        num_heads: int | None = None,
        freeze: bool | int = False,
        lora: int = 0,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        """``name`` is one of timm's models.

        ``weights`` is "default", the tag of other weights ("augreg_in21k"; downloaded once), a
        local file of tensors, or null. Positions are stretched to ``image_size`` where the model
        can. ``patch_size``, ``width``, ``depth`` and ``num_heads`` shape a new Transformer
        otherwise than its name says. ``freeze`` keeps the body (true) or its stem and first n
        blocks as they are; ``lora`` is the rank of adapters of its attentions. ``mean`` and
        ``std`` of the pixels are by default those of the weights.
        """
        super().__init__()
        given = {"embed_dim": width, "depth": depth, "num_heads": num_heads}
        sizes = {k: v for k, v in {**given, "patch_size": patch_size}.items() if v is not None}
        if sizes and weights is not None:
            raise ValueError(
                "patch_size, width, depth and num_heads shape a new model: leave them out for "
                f"weights={weights}"
            )
        self.name = name
        self.body = timm_model(name, weights, image_size, sizes)
        said = self.body.pretrained_cfg
        self.pixels = Pixels(mean or said["mean"], std or said["std"])
        black = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
        fault = f"image_size={image_size}: {name} cannot read such pictures"
        self.settle(freeze, lora, lambda: tokens_of(self.read(black)), fault, layers(self.body))
        with torch.no_grad():
            x = self.eval().read(black)
        self.position = GridPosition(self.width, x.shape[2]) if x.dim() == 4 else None
        if self.position is not None:
            self.body.to(memory_format=torch.channels_last)  # quicker for convolutions
        self.train()

    def forward(self, field: Field) -> Tokens:
        """``field.data`` is [b, l, 3, height, width] for l pictures a sample."""
        return encode_pictures(field, self.encode)

    def encode(self, pictures: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Tokens, or cells with their positions, row by row."""
        x = self.read(pictures)
        return tokens_of(x) if self.position is None else tokens_of(x) + self.position(*x.shape[2:])

    def read(self, pictures: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b ..."]:
        """What the classifier would pool: tokens [b, n, d] or a map [b, d, y, x]."""
        x: Any = self.body.forward_features(self.pixels(pictures))  # type: ignore[operator]
        if not isinstance(x, Tensor) or x.dim() not in (3, 4):
            raise ValueError("this network gives neither tokens nor a map")
        last = x.dim() == 4 and str(getattr(self.body, "output_fmt", "")).endswith("NHWC")
        return x.permute(0, 3, 1, 2) if last else x

    def summary(self, field: Field) -> Float[Tensor, "b c"]:
        """Mean of the network's own features over the pictures."""
        features = encode_pictures(field, lambda pictures: tokens_of(self.read(pictures)))
        return masked_mean(features.x, features.mask)

    def portable(self) -> dict[str, Any]:
        """The same shape with random weights; of a folder or hub, the name of its architecture."""
        named = {"name": self.body.pretrained_cfg["architecture"]} if ":" in self.name else {}
        return {"weights": None, **named, **statistics(self.pixels)}


def tokens_of(x: Float[Tensor, "b ..."]) -> Float[Tensor, "b n d"]:
    """The cells of a map as tokens, row by row; tokens as they are."""
    return x.flatten(2).mT if x.dim() == 4 else x


def layers(body: Any) -> list[nn.Module]:
    """The blocks of a Transformer, the stages of a convolutional network; nothing if unknown."""
    children = dict(body.named_children())
    for name in STACKS:
        if name in children:
            return list(children[name].children())
    return [child for name, child in children.items() if STAGE.fullmatch(name)]


def timm_model(name: str, weights: str | None, image_size: int, sizes: dict[str, Any]) -> Any:
    """A network without its classifier.

    Raises ValueError if there is none, it cannot be made so, or its weights cannot be had.
    """
    try:
        import timm
    except ImportError as error:
        raise missing_package(error, "timm") from error
    source = weight_source(timm, name, weights)
    try:
        config = None if ":" in name else timm.get_pretrained_cfg(source["model_name"])
        if config and config.fixed_input_size and config.input_size[-1] != image_size:
            sizes = {**sizes, "img_size": image_size}
        make = partial(timm.create_model, num_classes=0, **sizes)
        load = partial(make, pretrained=weights is not None, **source)
        body: Any = drawn_alike(load) if is_local(weights) else load()
        new = drawn_alike(partial(make, name)) if is_local(weights) else None
    except Exception as error:  # hub, network, files, and arguments that a network has not
        what = f"weights={weights}: cannot be had for {name}" if weights else f"{name=}, {sizes}"
        raise ValueError(f"{what}: {brief(error)}") from error
    body.pretrained_cfg.pop("state_dict", None)  # loaded; not to be kept twice
    if new is not None and (lacking := unchanged(body, new)):
        raise ValueError(
            f"weights={weights}: {len(lacking)} of {len(list(body.parameters()))} tensors of "
            f"{name} are not in it, such as {lacking[0]}; is it of another network?"
        )
    return body


def is_local(weights: str | None) -> bool:
    """Are they those of a file?"""
    return weights is not None and weights != "default" and is_file_name(weights)


def drawn_alike(make: Callable[[], nn.Module]) -> nn.Module:
    """Make a network whose random weights are always the same, and like no other network's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0x7133_0DD5)
        return make()


def unchanged(body: nn.Module, new: nn.Module) -> list[str]:
    """Matrices that are as in a new network of the same seed: timm passes over what is missing."""
    fresh = dict(new.named_parameters())
    return [
        name
        for name, x in body.named_parameters()
        if x.dim() > 1 and x.any() and torch.equal(x, fresh[name])
    ]


def weight_source(timm: Any, name: str, weights: str | None) -> dict[str, Any]:
    """What timm is to make, and from which weights; those of a local file are read here, safely."""
    if ":" in name:  # hf-hub:owner/model, local-dir:folder: these bring their own weights
        if weights not in (None, "default"):
            raise ValueError(f"weights={weights}: {name} brings its own; write default or null")
        return {"model_name": name}
    base = name.split(".")[0]
    if not timm.is_model(base):
        close = ", ".join(get_close_matches(base, timm.list_models(), n=3))
        raise ValueError(f"timm has no model {name!r}; did you mean {close or 'resnet18'}?")
    if weights is None or weights == "default":
        return {"model_name": name}
    if is_local(weights):
        return {"model_name": name, "pretrained_cfg_overlay": {"state_dict": load_state(weights)}}
    return {"model_name": f"{base}.{weights}"}
