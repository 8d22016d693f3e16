"""Image networks of timm (PyTorch Image Models)."""

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
    is_file_name,
    load_state,
    statistics,
)
from mmtx_cli.encoder.base import encode_pictures
from mmtx_cli.hub.messages import missing_package, one_line
from mmtx_cli.hub.origin import mark_pretrained
from mmtx_cli.layer.input.pixel_norm import Pixels
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.layer.position import GridPosition
from mmtx_cli.types import ModalityInput, Tokens

STACKS = ("blocks", "stages", "layers")
"""timm's names for the container of a network's blocks."""
STAGE = re.compile(r"(layer|stage|block|s)\d+")
"""timm's names for single stages of a network without such a container."""


class TimmImageEncoder(PretrainedEncoder):
    """Any image network of timm: a Transformer's tokens, or the cells of a CNN's feature map.

    The cells get learned positions. Requires ``pip install mmtx[timm]``.
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
        """``name`` is a model name of timm.

        ``weights`` is "default", the tag of other weights ("augreg_in21k"; downloaded once), a
        local weights file, or null. Positions are interpolated to ``image_size`` if the model
        supports it. ``patch_size``, ``width``, ``depth`` and ``num_heads`` override the sizes of a
        new Transformer. ``freeze`` freezes the backbone (true) or its stem and first n blocks.
        ``lora`` is the rank of LoRA adapters on the attention layers (0 for none); it freezes all
        pretrained weights. ``mean`` and ``std`` of the pixels default to those of the weights.
        """
        super().__init__()
        timm_sizes = {"embed_dim": width, "depth": depth, "num_heads": num_heads}
        sizes = {k: v for k, v in {**timm_sizes, "patch_size": patch_size}.items() if v is not None}
        if sizes and weights is not None:
            raise ValueError(
                "patch_size, width, depth and num_heads apply only to new models; omit them for "
                f"weights={weights}"
            )
        self.name = name
        self.body = timm_model(name, weights, image_size, sizes)
        pretrained_cfg = self.body.pretrained_cfg
        self.pixels = Pixels(mean or pretrained_cfg["mean"], std or pretrained_cfg["std"])
        black = torch.zeros(1, 3, image_size, image_size, dtype=torch.uint8)
        fault = f"image_size={image_size}: not supported by {name}"
        self.finalize_backbone(
            freeze, lora, lambda: tokens_of(self.read(black)), fault, layers(self.body)
        )
        with torch.no_grad():
            x = self.eval().read(black)
        self.position = GridPosition(self.width, x.shape[2]) if x.dim() == 4 else None
        if self.position is not None:
            self.body.to(memory_format=torch.channels_last)  # faster for convolutions
        self.train()

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l, 3, height, width]: l images per sample."""
        return encode_pictures(field, self.encode)

    def encode(self, pictures: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b n d"]:
        """Return the tokens, or the cells of the feature map plus positions, row by row."""
        x = self.read(pictures)
        return tokens_of(x) if self.position is None else tokens_of(x) + self.position(*x.shape[2:])

    def read(self, pictures: Shaped[Tensor, "b 3 h w"]) -> Float[Tensor, "b ..."]:
        """Return the features before pooling: tokens [b, n, d] or a feature map [b, d, y, x]."""
        x: Any = self.body.forward_features(self.pixels(pictures))  # type: ignore[operator]
        if not isinstance(x, Tensor) or x.dim() not in (3, 4):
            raise ValueError("this network outputs neither tokens nor a feature map")
        channels_last = x.dim() == 4 and str(getattr(self.body, "output_fmt", "")).endswith("NHWC")
        return x.permute(0, 3, 1, 2) if channels_last else x

    def pooled_features(self, field: ModalityInput) -> Float[Tensor, "b c"]:
        """Return the mean of the network's own features over the images."""
        features = encode_pictures(field, lambda pictures: tokens_of(self.read(pictures)))
        return masked_mean(features.x, features.mask)

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return arguments for the same architecture with random weights.

        A name in a folder or on a hub is replaced by that of its architecture.
        """
        architecture = (
            {"name": self.body.pretrained_cfg["architecture"]} if ":" in self.name else {}
        )
        return {"weights": None, **architecture, **statistics(self.pixels)}


def tokens_of(x: Float[Tensor, "b ..."]) -> Float[Tensor, "b n d"]:
    """Return the cells of a feature map as tokens, row by row; return tokens unchanged."""
    return x.flatten(2).mT if x.dim() == 4 else x


def layers(body: Any) -> list[nn.Module]:
    """Return a Transformer's blocks or a convolutional network's stages; [] if not recognized."""
    children = dict(body.named_children())
    for name in STACKS:
        if name in children:
            return list(children[name].children())
    return [child for name, child in children.items() if STAGE.fullmatch(name)]


def timm_model(name: str, weights: str | None, image_size: int, sizes: dict[str, Any]) -> Any:
    """Build a network without its classifier.

    Args:
        name: Model name of timm.
        weights: As in ``TimmImageEncoder``.
        image_size: Image size in pixels, for networks with a fixed input size.
        sizes: Arguments of timm that change the architecture.

    Raises:
        ValueError: If the model is unknown, the sizes do not fit it, or its weights cannot be found
            or do not fit.
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
        body: Any = build_with_fixed_seed(load) if is_local(weights) else load()
        reference = build_with_fixed_seed(partial(make, name)) if is_local(weights) else None
    except Exception as error:  # hub, network, files, unsupported arguments
        problem = (
            f"weights={weights}: cannot be loaded for {name}" if weights else f"{name=}, {sizes}"
        )
        raise ValueError(f"{problem}: {one_line(error)}") from error
    if weights is not None:
        mark_pretrained(body.parameters())
    body.pretrained_cfg.pop("state_dict", None)  # already loaded: do not keep a second copy
    if reference is not None and (missing := randomly_initialized(body, reference)):
        raise ValueError(
            f"weights={weights}: {len(missing)} of {len(list(body.parameters()))} tensors of "
            f"{name} are missing, such as {missing[0]}; are they of another network?"
        )
    return body


def is_local(weights: str | None) -> bool:
    """Return whether ``weights`` is a local file."""
    return weights is not None and weights != "default" and is_file_name(weights)


def build_with_fixed_seed(make: Callable[[], nn.Module]) -> nn.Module:
    """Build a network with random weights from a fixed, unusual seed; keep the global RNG state."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0x7133_0DD5)
        return make()


def randomly_initialized(body: nn.Module, new: nn.Module) -> list[str]:
    """Return the names of matrices that equal their random initialization.

    timm silently skips tensors that the weights lack; ``new`` is a network built with the same
    seed.
    """
    initial = dict(new.named_parameters())
    return [
        name
        for name, x in body.named_parameters()
        if x.dim() > 1 and x.any() and torch.equal(x, initial[name])
    ]


def weight_source(timm: Any, name: str, weights: str | None) -> dict[str, Any]:
    """Return the arguments of ``timm.create_model`` that select the model and its weights.

    A local weights file is read here, as tensors only. Raises ValueError if the model is unknown.
    """
    if ":" in name:  # hf-hub:owner/model, local-dir:folder: these bring their own weights
        if weights not in (None, "default"):
            raise ValueError(f"weights={weights}: {name} includes its own; use default or null")
        return {"model_name": name}
    base = name.split(".")[0]
    if not timm.is_model(base):
        close = ", ".join(get_close_matches(base, timm.list_models(), n=3))
        raise ValueError(f"unknown timm model {name!r}; did you mean {close or 'resnet18'}?")
    if weights is None or weights == "default":
        return {"model_name": name}
    if is_local(weights):
        return {"model_name": name, "pretrained_cfg_overlay": {"state_dict": load_state(weights)}}
    return {"model_name": f"{base}.{weights}"}
