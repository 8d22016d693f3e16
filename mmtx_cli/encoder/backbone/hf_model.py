"""Models of the transformers library, pretrained or new, reduced to their encoders."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from torch import nn

from mmtx_cli.hub.huggingface import (
    quiet_logging,
    rebuild_kwargs,
    source_of,
    transformers,
    wrap_loading_errors,
)
from mmtx_cli.hub.messages import one_line
from mmtx_cli.hub.origin import mark_pretrained

SIZES = {
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "patch_size": "patch_size",
}
"""Our names of model sizes, and the names that every configuration of the library supports."""

DERIVED_SIZES = (
    ("hidden_size", 4, ("intermediate_size", "hidden_dim", "encoder_ffn_dim", "d_ff")),
    ("num_hidden_layers", 1, ("encoder_layers",)),
    ("num_attention_heads", 1, ("encoder_attention_heads", "decoder_attention_heads")),
)
"""(size, factor, names): settings of a new model that default to factor * size.

Some models have their own names for sizes or for what depends on them.
"""

# LayerDrop would leave other processes waiting for gradients; time masks are sampled outside
# torch's random number generators, so that runs would not be reproducible.
REPRODUCIBLE_SETTINGS = {
    "layerdrop": 0.0,
    "encoder_layerdrop": 0.0,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
    "mask_feature_prob": 0.0,
    "use_cache": False,
}


@dataclass(frozen=True)
class HubModel:
    """An encoder of the library, and the sizes that were requested."""

    body: Any
    config: Any
    whole: Any
    """Configuration of the full model that contains the encoder."""
    weights: str | None
    missing: frozenset[int]
    """``id`` of each parameter that the weights do not contain."""
    sizes: Mapping[str, int | None]

    def check(self, width: int, used: Mapping[str, nn.Parameter]) -> None:
        """Raise ValueError if weights are missing or the sizes differ from the requested ones.

        ``width`` is the width of the tokens, ``used`` are the parameters that they depend on.
        """
        missing = [name for name, parameter in used.items() if id(parameter) in self.missing]
        if missing:
            examples = ", ".join(missing[:3])
            raise ValueError(
                f"weights={self.weights}: {len(missing)} tensors of the model are missing "
                f"({examples}, …)"
            )
        requested, depth = self.sizes.get("width") or width, self.sizes.get("depth")
        if requested != width or (depth and len(self.blocks()) > depth):
            raise ValueError(
                f"{self.config.model_type} was built with width {width} and {len(self.blocks())} "
                f"blocks instead of width={requested}, depth={depth}: it has other names for these "
                "sizes; omit ours and set its own in config"
            )

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return arguments that build the same architecture with random weights."""
        return rebuild_kwargs(self.whole)

    def blocks(self) -> list[nn.Module]:
        """Return the layers or stages.

        These are the last outermost module list, of the length in the configuration if there is
        one.
        """
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
    """Load ``weights``, or build a new model if it is None.

    Args:
        weights: A name on the hub, a local folder, or None.
        architecture: ``model_type`` of a new model.
        tower: The part of a multimodal model to keep: text, vision or audio.
        sizes: Sizes of a new model, by our names; None keeps the default.
        config: Further configuration values, of a new or a pretrained model.
        **new: Further configuration values of a new model.

    Raises:
        ValueError: If the weights cannot be found or read, do not fit, or need custom code.
    """
    requested = {SIZES[name]: value for name, value in sizes.items() if value is not None}
    if weights is None:
        model = new_model(architecture, {**new, **requested, **(config or {})})
        missing: set[str] = set()
    else:
        model, missing = load_model(weights, sizes, config or {})
    missing_ids = frozenset(id(p) for name, p in model.named_parameters() if name in missing)
    body = encoder_of(model, tower)
    whole = model.config
    config_of = getattr(whole, f"{tower}_config", whole)
    return HubModel(body, config_of, whole, weights, missing_ids, sizes)


def encoder_of(model: Any, tower: str) -> nn.Module:
    """Return a tower of a dual encoder, the encoder of an encoder-decoder, or the whole model."""
    if hasattr(model, f"{tower}_model"):
        return getattr(model, f"{tower}_model")  # type: ignore[no-any-return]
    return model.get_encoder() if model.config.is_encoder_decoder else model  # type: ignore[no-any-return]


def new_model(architecture: str, values: dict[str, Any]) -> Any:
    """Build a model with random weights.

    Raises:
        ValueError: If the architecture is unknown, or does not support the values.
    """
    library = transformers()
    known = list(library.CONFIG_MAPPING.keys())
    if architecture not in known:
        close = ", ".join(get_close_matches(architecture, known, n=3)) or "bert, vit, wav2vec2, …"
        raise ValueError(
            f"architecture={architecture!r}: unknown to transformers; did you mean {close}?"
        )
    try:
        with quiet_logging():
            config = library.AutoConfig.for_model(architecture, **values)
        for size, factor, names in DERIVED_SIZES:
            for name in names if size in values else ():
                if name not in values and hasattr(config, name):
                    setattr(config, name, factor * values[size])
        make_reproducible(config)
        with quiet_logging():
            return library.AutoModel.from_config(config, trust_remote_code=False)
    except Exception as error:  # exception types differ between architectures
        raise ValueError(f"architecture={architecture}: {one_line(error)}") from error


def load_model(
    weights: str, sizes: Mapping[str, int | None], values: Mapping[str, Any]
) -> tuple[Any, set[str]]:
    """Return a pretrained model in float32, and the names of the tensors missing in its weights."""
    library, source = transformers(), source_of(weights)
    with wrap_loading_errors(weights), quiet_logging():
        config = library.AutoConfig.from_pretrained(source, trust_remote_code=False, **values)
    for name, value in sizes.items():
        actual = getattr(config, SIZES[name], None)
        if value is not None and actual != value:
            raise ValueError(f"{name}={value}: {weights} has {actual}; omit {name}")
    make_reproducible(config)
    with wrap_loading_errors(weights), quiet_logging():
        model, info = library.AutoModel.from_pretrained(
            source,
            config=config,
            trust_remote_code=False,
            weights_only=True,
            dtype="float32",
            output_loading_info=True,
        )
    missing = set(info["missing_keys"])
    mark_pretrained(p for name, p in model.named_parameters() if name not in missing)
    return model, missing


def make_reproducible(config: Any) -> None:
    """Disable whatever differs between runs or processes and cannot be seeded."""
    for name, value in REPRODUCIBLE_SETTINGS.items():
        if hasattr(config, name):
            setattr(config, name, value)
