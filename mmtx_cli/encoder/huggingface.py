"""Models of the transformers library: found, loaded and made without running foreign code."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from mmtx_cli.encoder.pretrained import brief, missing_package
from mmtx_cli.layer.pixels import Pixels

SIZES = {
    "width": "hidden_size",
    "depth": "num_hidden_layers",
    "num_heads": "num_attention_heads",
    "patch_size": "patch_size",
}
"""Our names of a model's sizes, and those that all configurations of the library understand."""

HIDDEN = ("intermediate_size", "hidden_dim", "encoder_ffn_dim", "d_ff")
"""What the width of the feed-forward layers is called; a new model has 4 * width."""

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
    """A network, its configuration, and its parameters that the weights said nothing of."""

    body: Any
    config: Any
    whole: Any
    """The configuration of the model that the network was taken out of."""
    missing: frozenset[int]

    def check(self, weights: str | None, used: Mapping[str, nn.Parameter]) -> None:
        """Raise ValueError if parameters that are ``used`` were not in the weights."""
        lacking = [name for name, parameter in used.items() if id(parameter) in self.missing]
        if lacking:
            some = ", ".join(lacking[:3])
            raise ValueError(
                f"weights={weights}: {len(lacking)} tensors of the model are not there ({some}, …)"
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
    return HubModel(body, getattr(whole, f"{tower}_config", whole), whole, absent)


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
        if "hidden_size" in values:
            for name in HIDDEN:
                if name not in values and hasattr(config, name):
                    setattr(config, name, 4 * values["hidden_size"])
        if "num_attention_heads" in values and hasattr(config, "decoder_attention_heads"):
            config.decoder_attention_heads = values["num_attention_heads"]
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


def preprocessor(weights: str, kind: str) -> Any:
    """What prepares the input of a model: ``kind`` is ImageProcessor or FeatureExtractor."""
    library, source = transformers(), source_of(weights)
    with finding(weights, "preprocessor_config.json"), quiet():
        return getattr(library, f"Auto{kind}").from_pretrained(source, trust_remote_code=False)


def pixels_of(
    weights: str | None, mean: Sequence[float] | None, std: Sequence[float] | None
) -> Pixels:
    """The normalisation that is said, else that of the weights, else that of ImageNet."""
    if (mean is None) != (std is None):
        raise ValueError("mean and std: give both, or neither")
    if mean is not None and std is not None:
        return Pixels(mean, std)
    if weights is None:
        return Pixels()
    said = preprocessor(weights, "ImageProcessor")
    # it computes (bytes * factor - offset - mean) / std, and we begin with bytes / 255
    factor = 255 * (said.rescale_factor if said.do_rescale else 1)
    offset = 1 if getattr(said, "offset", False) else 0
    mean, std = (said.image_mean, said.image_std) if said.do_normalize else ([0.0] * 3, [1.0] * 3)
    return Pixels([(offset + m) / factor for m in mean], [s / factor for s in std])


def tokenizer_json(weights: str) -> str:
    """The content of the ``tokenizer.json`` of a model; transformers is only asked without one."""
    file = Path(weights).expanduser() / "tokenizer.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    library = transformers()
    with finding(weights), quiet():
        source = source_of(weights)
        tokenizer = library.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise ValueError(f"weights={weights}: its tokenizer has no tokenizer.json")
    return str(tokenizer.backend_tokenizer.to_str())


def transformers() -> Any:
    """The library, imported when it is needed and not before."""
    try:
        import transformers
    except ImportError as error:
        raise missing_package(error, "hf") from error
    return transformers


def source_of(weights: str) -> str:
    """A local folder if it is one, else a name on the hub."""
    path = Path(weights).expanduser()
    if path.is_file():
        raise ValueError(f"weights={weights} is a file; name the folder that holds its config.json")
    if not path.is_dir() and (weights.startswith(("/", ".", "~")) or weights.count("/") > 1):
        raise ValueError(f"weights={weights}: there is no such folder")
    return str(path) if path.is_dir() else weights


@contextmanager
def finding(weights: str, file: str = "config.json and model.safetensors") -> Iterator[None]:
    """Turn whatever goes wrong while a model is sought and read into one clear message."""
    try:
        yield
    except Exception as error:  # hub, network and files: the library raises a dozen kinds
        where = "in that folder" if Path(weights).expanduser().is_dir() else "on the hub"
        raise ValueError(
            f"weights={weights}: cannot be had {where} ({brief(error)}); give the name of a "
            f"model on huggingface.co while there is network, or a local folder with its {file}"
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars and no remarks of the library for a while; faults are raised, not told."""
    logging = transformers().utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()
