"""Access to the Hugging Face hub and to local model folders, safely.

Code that comes with a model is never run, and weights files are read as tensors only.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmtx_cli.hub.messages import missing_package, one_line

DESCRIPTIVE_KEYS = (
    "id2label",
    "label2id",
    "architectures",
    "transformers_version",
    "dtype",
    "torch_dtype",
)
"""Configuration values that do not affect the architecture."""


def rebuild_kwargs(config: Any) -> dict[str, Any]:
    """Return the arguments that build the architecture of a configuration with random weights."""
    values = config.to_diff_dict()
    plain = {k: v for k, v in values.items() if k not in DESCRIPTIVE_KEYS and not k.startswith("_")}
    return {"weights": None, "architecture": plain.pop("model_type"), "config": plain}


def preprocessor(weights: str, kind: str) -> Any:
    """Return the preprocessor of a model; ``kind`` is ImageProcessor or FeatureExtractor."""
    library, source = transformers(), source_of(weights)
    with wrap_loading_errors(weights, "preprocessor_config.json"), quiet_logging():
        return getattr(library, f"Auto{kind}").from_pretrained(source, trust_remote_code=False)


def model_config(weights: str) -> Any:
    """Return the configuration of a model."""
    library, source = transformers(), source_of(weights)
    with wrap_loading_errors(weights), quiet_logging():
        return library.AutoConfig.from_pretrained(source, trust_remote_code=False)


def check_reads_pictures(weights: str) -> None:
    """Raise ValueError unless a model generates text from pictures."""
    config = model_config(weights)
    mapping = transformers().AutoModelForImageTextToText._model_mapping
    if type(config) not in mapping:
        raise ValueError(
            f"weights={weights}: a {config.model_type} model does not generate text from pictures; "
            "for a language model, use decoder=huggingface with an image encoder"
        )
    wanted = mapping[type(config)].__name__
    if wanted not in (config.architectures or [wanted]):
        raise ValueError(
            f"weights={weights}: is a {config.architectures[0]}, whose weights do not fit "
            f"{wanted}; choose a model for captions or image-text-to-text"
        )


def tokenizer_json(weights: str) -> str:
    """Return the content of a model's ``tokenizer.json``; transformers is used if it has none."""
    file = Path(weights).expanduser() / "tokenizer.json"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    library = transformers()
    with wrap_loading_errors(weights), quiet_logging():
        source = source_of(weights)
        tokenizer = library.AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise ValueError(f"weights={weights}: its tokenizer has no tokenizer.json")
    return str(tokenizer.backend_tokenizer.to_str())


def tokenizer_of(weights: str) -> Any:
    """Return the tokenizer of a model as the library builds it."""
    library, source = transformers(), source_of(weights)
    with wrap_loading_errors(weights, "tokenizer.json"), quiet_logging():
        return library.AutoTokenizer.from_pretrained(source, trust_remote_code=False)


def optional_file(weights: str, name: str) -> Path | None:
    """Return the path of a file of a model, downloaded if necessary; None if it has none."""
    library, source = transformers(), source_of(weights)
    with wrap_loading_errors(weights, name), quiet_logging():
        found = library.utils.cached_file(source, name, _raise_exceptions_for_missing_entries=False)
    return None if found is None else Path(found)


def transformers() -> Any:
    """Import the transformers library on first use."""
    try:
        import transformers
    except ImportError as error:
        raise missing_package(error, "hf") from error
    return transformers


def source_of(weights: str) -> str:
    """Return the path of a local folder, or else a name on the hub.

    Raises:
        ValueError: If ``weights`` is a file, or looks like the path of a folder that does not
            exist.
    """
    path = Path(weights).expanduser()
    if path.is_file():
        raise ValueError(f"weights={weights} is a file; give the folder that contains config.json")
    if not path.is_dir() and (weights.startswith(("/", ".", "~")) or weights.count("/") > 1):
        raise ValueError(f"weights={weights}: folder not found")
    return str(path) if path.is_dir() else weights


@contextmanager
def wrap_loading_errors(
    weights: str, file: str = "config.json and model.safetensors"
) -> Iterator[None]:
    """Convert any error while a model is located and read into one clear ValueError."""
    try:
        yield
    except Exception as error:  # hub, network and file errors have many types
        where = "from that folder" if Path(weights).expanduser().is_dir() else "from the hub"
        raise ValueError(
            f"weights={weights}: cannot be loaded {where} ({one_line(error)}); give the name of a "
            f"model on huggingface.co (requires network), or a local folder with its {file}"
        ) from error


@contextmanager
def quiet_logging() -> Iterator[None]:
    """Disable the library's progress bars and log messages below errors."""
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
