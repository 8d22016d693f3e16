"""Selection of the tokenizers for a run's input and target texts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import tokenizers
from hydra.utils import get_class

from mmtx_cli.config.cross_checks import decoder_section
from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.config.introspect import TargetError, class_constant
from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.derived import stored_value
from mmtx_cli.data.manifest.table.facts import taken, values
from mmtx_cli.data.text.columns import has_texts, texts_of
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.io.checkpoint import read_config

MAX_TRAINING_ROWS = 1_000_000
"""Samples on whose texts a tokenizer is trained: of more, as many at equal distances."""


def pretrained_tokenizer(
    text_encoder: Mapping[str, Any], stored: str | None, heads: Mapping[str, Any] | None = None
) -> Tokenizer | None:
    """Return the tokenizer of a pretrained text encoder or text teacher, else the stored one.

    Raises:
        ConfigError: if they use different tokenizers.
    """
    readers = {"encoder.text": text_encoder, **dict(text_teachers(heads or {}))}
    tokenizers = {
        path: tokenizer
        for path, node in readers.items()
        if (tokenizer := reader_tokenizer(path, node))
    }
    if len({tokenizer.to_json() for tokenizer in tokenizers.values()}) > 1:
        raise ConfigError(
            f"{' and '.join(tokenizers)} use different tokenizers; choose models that share one"
        )
    if tokenizers:
        return next(iter(tokenizers.values()))
    return Tokenizer.from_json(stored, template=True) if stored and text_encoder else None


def stored_input_tokenizer(stored: Mapping[str, Any], tokenizer: Tokenizer | None) -> str | None:
    """Return the serialized tokenizer that a trained model's text encoder reads with.

    It is that of the model's targets, too, unless the decoder now brings another one.

    Args:
        stored: Config of the trained model; empty without one.
        tokenizer: The tokenizer of the run's targets.
    """
    own, former = stored.get("text_tokenizer"), stored.get("tokenizer")
    if own or not former or tokenizer is None or former == tokenizer.to_json():
        return own
    return Tokenizer.from_json(former).as_template()


def run_tokenizer(
    manifest: Manifest,
    settings: DataSettings,
    stored: str | None,
    heads: Mapping[str, Any],
    decoder: Mapping[str, Any] | None = None,
) -> Tokenizer | None:
    """Return the tokenizer of target texts, and of input texts if the encoder has no own one.

    A pretrained decoder has its own. Otherwise, in this order: ``data.tokenizer``, the stored one,
    a text teacher's, one trained on the texts.

    Args:
        manifest: The data set, on whose texts a tokenizer is trained if there is no other.
        settings: Settings of the section ``data``.
        stored: Serialized tokenizer of a trained model, if any.
        heads: Configurations of the heads, some of which may have teachers.
        decoder: Configuration of the decoder.

    Raises:
        ConfigError: if a teacher or ``data.tokenizer`` differs from the tokenizer.
    """
    own = decoder_tokenizer(decoder or {})
    if own is not None and settings.tokenizer:
        raise ConfigError("data.tokenizer: the pretrained decoder has its own; remove this key")
    stored = own.to_json() if own is not None else stored
    teacher_configs = {p: read_config(t) for p, t in text_teachers(heads) if isinstance(t, str)}
    tokenizers = {
        p: content["tokenizer"]
        for p, content in teacher_configs.items()
        if not content.get("text_tokenizer")
    }
    chosen = tokenizer_for(manifest, settings, stored or next(iter(tokenizers.values()), None))
    content = chosen.to_json() if chosen else None
    faults = [
        f"{path}: uses a different tokenizer than this model; remove data.tokenizer and ckpt, or "
        "use another teacher"
        for path, text in tokenizers.items()
        if Tokenizer.from_json(text).to_json() != content
    ]
    if faults:
        raise ConfigError(*faults)
    return chosen


def reader_tokenizer(path: str, reader: Mapping[str, Any] | str) -> Tokenizer | None:
    """Return the tokenizer of a trained model or of an encoder with pretrained weights, if any."""
    if isinstance(reader, str):
        stored = read_config(reader).get("text_tokenizer")
        return Tokenizer.from_json(stored, template=True) if stored else None
    if not brings_tokenizer(reader) or not reader.get("weights"):
        return None
    encoder: Any = get_class(reader["_target_"])
    try:
        text = encoder.tokenizer_json(reader["weights"])
    except ValueError as error:
        raise ConfigError(f"{path}: {error}") from error
    return Tokenizer.from_json(text, template=True)


def decoder_tokenizer(decoder: Mapping[str, Any]) -> Tokenizer | None:
    """Return the tokenizer of a decoder with pretrained weights, or None."""
    if not decoder.get("weights") or not brings_tokenizer(decoder):
        return None
    try:
        text = get_class(decoder["_target_"]).tokenizer_json(  # type: ignore[attr-defined]
            decoder["weights"], decoder.get("eos")
        )
    except ValueError as error:
        raise ConfigError(f"{decoder_section(decoder)}: {error}") from error
    return Tokenizer.from_json(text)


def decoder_prompt(decoder: Mapping[str, Any]) -> str | None:
    """Return the template of a pretrained decoder's prompt, if it has the text of each row."""
    if not decoder.get("weights") or not decoder.get("prompt") or not brings_tokenizer(decoder):
        return None
    kind: Any = get_class(decoder["_target_"])
    try:
        template = kind.prompt_template(
            decoder["weights"], decoder["prompt"], bool(decoder.get("chat"))
        )
    except ValueError as error:
        raise ConfigError(f"{decoder_section(decoder)}: {error}") from error
    return template if template is None else str(template)


def brings_tokenizer(node: Mapping[str, Any]) -> bool:
    """Return True if the class of a text encoder or decoder has its own tokenizer.

    The class is imported only if it has pretrained weights and its source cannot be read.
    """
    target = str(node.get("_target_", ""))
    try:
        return bool(class_constant(target, "brings_tokenizer"))
    except TargetError:
        return bool(node.get("weights")) and hasattr(get_class(target), "brings_tokenizer")


def tokenizer_for(
    manifest: Manifest, settings: DataSettings, stored: str | None
) -> Tokenizer | None:
    """Return the configured tokenizer, else the stored one, else one trained on the texts.

    None if there are no texts to train on.
    """
    if settings.tokenizer:
        return Tokenizer.load(settings.tokenizer)
    if stored:
        return Tokenizer.from_json(stored)
    rows = manifest.split("train") or manifest.samples
    rows = taken(rows, has_texts(rows))
    if not len(rows):
        return None
    if len(rows) > MAX_TRAINING_ROWS:
        rows = taken(rows, np.linspace(0, len(rows) - 1, MAX_TRAINING_ROWS).astype(np.int64))
    vocab_size, lowercase = settings.tokenizer_vocab_size, settings.lowercase
    key = vocab_size, lowercase, tokenizers.__version__
    content = stored_value(
        rows,
        "tokenizer",
        key,
        lambda: Tokenizer.train(training_texts(rows), vocab_size, lowercase).to_json(),
    )
    return Tokenizer.from_json(content)


def training_texts(rows: Sequence[Sample]) -> Iterator[str]:
    """Yield all texts of the samples, in their order."""
    columns = ("captions", "text", "answers", "answer_weights")
    for texts in values(rows, columns, _all_texts):
        yield from texts


def _all_texts(row: Sample) -> list[str]:
    return [text for name in ("captions", "text", "answer_text") for text in texts_of(row, name)]


def config_of(path: str, folder: str) -> dict[str, Any]:
    """Return the config of a teacher model; errors name the head's config ``path``."""
    try:
        return read_config(folder)
    except CheckpointError as error:
        faults = (fault.replace("ckpt=", f"{path}.teacher=", 1) for fault in error.faults)
        raise CheckpointError(*faults) from error


def text_teachers(heads: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield (config path, teacher) of heads with a text teacher: a model path or encoder config."""
    for name, node in heads.items():
        teacher = (node or {}).get("teacher")
        if isinstance(teacher, str):
            if "text" in config_of(f"head.{name}", teacher)["model"]["encoder"]:
                yield f"head.{name}.teacher", teacher
        elif teacher and node.get("modality") == "text":
            yield f"head.{name}.teacher", teacher
