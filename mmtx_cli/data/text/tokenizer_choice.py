"""Which tokenizers a run's texts are read and written by."""

from collections.abc import Iterator, Mapping
from typing import Any

from hydra.utils import get_class

from mmtx_cli.config.introspect import TargetError, class_constant
from mmtx_cli.config.schema import DataSettings
from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.text.columns import column_texts
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.io.checkpoint import read_config


def own_tokenizer(
    text_encoder: Mapping[str, Any], stored: str | None, heads: Mapping[str, Any] | None = None
) -> Tokenizer | None:
    """The tokenizer that a pretrained text encoder or a teacher of texts brings; else that which a
    trained text encoder has.
    """
    readers = {"encoder.text": text_encoder, **dict(text_teachers(heads or {}))}
    found = {path: own for path, node in readers.items() if (own := brought(path, node))}
    if len({own.to_json() for own in found.values()}) > 1:
        raise ConfigError(
            f"{' and '.join(found)} read texts by different tokenizers; choose such as share one"
        )
    if found:
        return next(iter(found.values()))
    return Tokenizer.from_json(stored, template=True) if stored and text_encoder else None


def run_tokenizer(
    manifest: Manifest, settings: DataSettings, stored: str | None, heads: Mapping[str, Any]
) -> Tokenizer | None:
    """The tokenizer that texts are written by, and read where a text encoder brings none.

    It is the stored one, or a teacher's. Raises ConfigError if a teacher reads by another.
    """
    trained = {p: read_config(t) for p, t in text_teachers(heads) if isinstance(t, str)}
    taught = {p: own["tokenizer"] for p, own in trained.items() if not own.get("text_tokenizer")}
    chosen = tokenizer_for(manifest, settings, stored or next(iter(taught.values()), None))
    own = chosen.to_json() if chosen else None
    faults = [
        f"{path}: reads texts by another tokenizer than this model; leave out data.tokenizer and "
        "ckpt, or teach by another"
        for path, text in taught.items()
        if Tokenizer.from_json(text).to_json() != own
    ]
    if faults:
        raise ConfigError(*faults)
    return chosen


def brought(path: str, reader: Mapping[str, Any] | str) -> Tokenizer | None:
    """The tokenizer of a reader of texts: of a trained model, or of pretrained weights."""
    if isinstance(reader, str):
        own = read_config(reader).get("text_tokenizer")
        return Tokenizer.from_json(own, template=True) if own else None
    if not brings_tokenizer(reader) or not reader.get("weights"):
        return None
    encoder: Any = get_class(reader["_target_"])
    try:
        text = encoder.tokenizer_json(reader["weights"])
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    return Tokenizer.from_json(text, template=True)


def brings_tokenizer(node: Mapping[str, Any]) -> bool:
    """Does the class of a text encoder say so? Only one with weights of its own is imported."""
    target = str(node.get("_target_", ""))
    try:
        return bool(class_constant(target, "brings_tokenizer"))
    except TargetError:
        return bool(node.get("weights")) and hasattr(get_class(target), "brings_tokenizer")


def tokenizer_for(
    manifest: Manifest, settings: DataSettings, stored: str | None
) -> Tokenizer | None:
    """The given tokenizer, the stored one, or one trained on the training texts."""
    if settings.tokenizer:
        return Tokenizer.load(settings.tokenizer)
    if stored:
        return Tokenizer.from_json(stored)
    rows = manifest.split("train") or manifest.samples
    columns = [column_texts(rows, name) for name in ("captions", "text", "answer_text")]
    texts = [text for row in zip(*columns, strict=True) for several in row for text in several]
    if not texts:
        return None
    return Tokenizer.train(texts, settings.tokenizer_size, settings.lowercase)


def config_of(path: str, folder: str) -> dict[str, Any]:
    """The config of the trained model that a head at a config ``path`` names as its teacher."""
    try:
        return read_config(folder)
    except CheckpointError as error:
        faults = (fault.replace("ckpt=", f"{path}.teacher=", 1) for fault in error.faults)
        raise CheckpointError(*faults) from error


def text_teachers(heads: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Config path and teacher (a path, or an encoder's node) of the heads taught about texts."""
    for name, node in heads.items():
        teacher = (node or {}).get("teacher")
        if isinstance(teacher, str):
            if "text" in config_of(f"head.{name}", teacher)["model"]["encoder"]:
                yield f"head.{name}.teacher", teacher
        elif teacher and node.get("modality") == "text":
            yield f"head.{name}.teacher", teacher
