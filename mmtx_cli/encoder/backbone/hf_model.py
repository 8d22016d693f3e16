"""Models of the transformers library, pretrained or new, and the part of them that encodes."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import nn

from mmtx_cli.encoder.backbone.base import brief
from mmtx_cli.encoder.backbone.hf_hub import finding, quiet, source_of, transformers

SIZES = {
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "patch_size": "patch_size",
}
"""Our names of a model's sizes, and those that all configurations of the library understand."""

FOLLOWING = (
    ("hidden_size", 4, ("intermediate_size", "hidden_dim", "encoder_ffn_dim", "d_ff")),
    ("num_hidden_layers", 1, ("encoder_layers",)),
    ("num_attention_heads", 1, ("encoder_attention_heads", "decoder_attention_heads")),
)
"""What else of a new model follows from a size, and its factor: some models have own names."""

# Layers that are left out at random would be missed by other devices; masks over time are drawn
# past torch, so that a run could not be repeated.
STEADY = {
    "layerdrop": 0.0,
    "encoder_layerdrop": 0.0,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "use_cache": False,
}
TELLING = ("id2label", "label2id", "architectures", "transformers_version", "dtype", "torch_dtype")
"""Of a configuration, what does not shape the model."""


@dataclass(frozen=True)
class HubModel:
    """A network of the library, and what was asked for."""

    body: Any
    config: Any
    whole: Any
    """The configuration of the model that the network was taken out of."""
    weights: str | None
    missing: frozenset[int]
    """``id`` of the parameters that the weights said nothing of."""
    sizes: Mapping[str, int | None]

    def check(self, width: int, used: Mapping[str, nn.Parameter]) -> None:
        """Raise ValueError if it came out otherwise than asked for.

        ``width`` is that of its tokens, ``used`` are the parameters that these depend on.
        """
        lacking = [name for name, parameter in used.items() if id(parameter) in self.missing]
        if lacking:
            some = ", ".join(lacking[:3])
            raise ValueError(
                f"weights={self.weights}: {len(lacking)} tensors of the model are not there "
                f"({some}, …)"
            )
        wanted, depth = self.sizes.get("width") or width, self.sizes.get("depth")
        if wanted != width or (depth and len(self.blocks()) > depth):
            raise ValueError(
                f"{self.config.model_type} came out with width {width} and {len(self.blocks())} "
                f"blocks, and not as width={wanted}, depth={depth} say: it has its own names for "
                "them; leave ours out, and set those in config"
            )

    def portable(self) -> dict[str, Any]:
        """Arguments that make a model of this shape anew."""
        values = self.whole.to_diff_dict()
        plain = {k: v for k, v in values.items() if k not in TELLING and not k.startswith("_")}
        return {"weights": None, "architecture": plain.pop("model_type"), "config": plain}

    def blocks(self) -> list[nn.Module]:
        """The layers or stages: the last outermost list of modules, of the right length if any."""
        lists = {n: m for n, m in self.body.named_modules() if isinstance(m, nn.ModuleList)}
        outer = [m for n, m in lists.items() if not any(n.startswith(f"{k}.") for k in lists)]
        depth = getattr(self.config, "num_hidden_layers", None)
        return list(([m for m in outer if len(m) == depth] or outer or [nn.ModuleList()])[-1])


def hub_model(
    weights: str | None,
    architecture: str,
    tower: str,
    sizes: Mapping[str, int | None],
    config: Mapping[str, Any] | None,
    **new: Any,
) -> HubModel:
    """Load ``weights`` (a name on the hub or a folder), or make a new model where it is null.

    ``tower`` names the part to keep of a model for several modalities. ``sizes`` and ``new`` shape
    a new model; ``config`` changes single values of either. Raises ValueError where the weights
    cannot be had, do not fit, or would need code that comes with them.
    """
    said = {SIZES[name]: value for name, value in sizes.items() if value is not None}
    if weights is None:
        model = new_model(architecture, {**new, **said, **(config or {})})
        missing: set[str] = set()
    else:
        model, missing = load_model(weights, sizes, config or {})
    absent = frozenset(id(p) for name, p in model.named_parameters() if name in missing)
    body = part_of(model, tower)
    whole = model.config
    config_of = getattr(whole, f"{tower}_config", whole)
    return HubModel(body, config_of, whole, weights, absent, sizes)


def part_of(model: Any, tower: str) -> nn.Module:
    """The one tower of a dual encoder, the encoder of an encoder and decoder, or all of it."""
    if hasattr(model, f"{tower}_model"):
        return getattr(model, f"{tower}_model")  # type: ignore[no-any-return]
    return model.get_encoder() if model.config.is_encoder_decoder else model  # type: ignore[no-any-return]


def new_model(architecture: str, values: dict[str, Any]) -> Any:
    """A model with random weights."""
    library = transformers()
    known = list(library.CONFIG_MAPPING.keys())
    if architecture not in known:
        close = ", ".join(get_close_matches(architecture, known, n=3)) or "bert, vit, wav2vec2, …"
        raise ValueError(
            f"architecture={architecture!r}: transformers has none; did you mean {close}?"
        )
    try:
        with quiet():
            config = library.AutoConfig.for_model(architecture, **values)
        for size, factor, names in FOLLOWING:
            for name in names if size in values else ():
                if name not in values and hasattr(config, name):
                    setattr(config, name, factor * values[size])
        make_steady(config)
        with quiet():
            return library.AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:  # each architecture refuses in its own way
        raise ValueError(f"architecture={architecture}: {brief(error)}") from error


def load_model(
    weights: str, sizes: Mapping[str, int | None], values: Mapping[str, Any]
) -> tuple[Any, set[str]]:
    """A pretrained model in float32, and the names of the tensors that were not there."""
    library, source = transformers(), source_of(weights)
    with finding(weights), quiet():
        config = library.AutoConfig.from_pretrained(source, trust_remote_code=False, **values)
    for name, value in sizes.items():
        own = getattr(config, SIZES[name], None)
        if value is not None and own != value:
            raise ValueError(f"{name}={value}: {weights} has {own}; leave {name} out")
    make_steady(config)
    with finding(weights), quiet():
        model, info = library.AutoModel.from_pretrained(
            source,
            config=config,
            trust_remote_code=False,
            weights_only=True,
            dtype="float32",
            output_loading_info=True,
        )
    return model, set(info["missing_keys"])


def make_steady(config: Any) -> None:
    """Switch off what differs between runs and devices in ways that we cannot seed."""
    for name, value in STEADY.items():
        if hasattr(config, name):
            setattr(config, name, value)
