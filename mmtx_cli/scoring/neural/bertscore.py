"""BERTScore (Zhang et al., 2020) with any encoder of the hub and any of its layers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import log
from typing import TYPE_CHECKING, Any

import numpy as np

from mmtx_cli import __version__
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.progress import track
from mmtx_cli.metric.embedding.token_matching import (
    TokenVectors,
    inverse_document_frequencies,
    precision_recall_f1,
)
from mmtx_cli.metric.scores import Scores
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import Measured
from mmtx_cli.scoring.neural.baseline import Baseline, read_baseline
from mmtx_cli.scoring.neural.batches import unit
from mmtx_cli.scoring.neural.settings import NeuralSettings
from mmtx_cli.scoring.neural.texts import empty_note, trimmed
from mmtx_cli.scoring.settings import ScoreSettings

if TYPE_CHECKING:
    from mmtx_cli.scoring.neural.text_encoder import TextEncoder

LAYERS = {
    "bert-base-uncased": 9,
    "bert-large-uncased": 18,
    "bert-base-multilingual-cased": 9,
    "bert-base-chinese": 8,
    "roberta-base": 10,
    "roberta-large": 17,
    "roberta-large-mnli": 19,
    "xlm-roberta-base": 9,
    "xlm-roberta-large": 17,
    "distilbert-base-uncased": 5,
    "distilroberta-base": 5,
    "microsoft/deberta-xlarge-mnli": 40,
    "microsoft/deberta-large-mnli": 18,
}
"""The layer of each model that agrees best with people (WMT16), by the authors of BERTScore."""
_LAYERS = {name.rpartition("/")[2]: layer for name, layer in LAYERS.items()}
"""The same by the last part of the name: the hub has moved models to organizations since, such as
``FacebookAI/roberta-large``."""
_NAMES = ("bertscore_precision", "bertscore_recall", "bertscore_f1")
_TEXTS = 2048
"""Texts whose token vectors are kept at a time."""


def measure(captions: Captions, settings: ScoreSettings) -> Measured:
    """Return precision, recall and F1; of several references, those of the one with the best F1.

    Raises:
        ConfigError: if the encoder cannot be loaded or lacks the layer.
        DataError: if the file of baselines cannot be read.
    """
    neural, own = settings.neural, settings.neural.bertscore
    weights = str(own.weights)
    encoder, layer = _loaded(neural)
    baseline = read_baseline(own.baseline, layer) if own.baseline else None
    predictions, references = trimmed(captions)
    tokens = _tokens(encoder, [*predictions, *(text for group in references for text in group)])
    weight = weight_of(encoder, own.idf, [tokens[x] for group in references for x in group])
    values = np.empty((len(captions), 3))
    rows = range(len(captions))
    for vectors, part in _parts(
        encoder, tokens, predictions, references, weight, neural.batch_size
    ):
        for i in rows[part]:
            found = [
                precision_recall_f1(vectors[predictions[i]], vectors[reference])
                for reference in references[i]
            ]
            values[i] = max(found, key=lambda each: each[2])
    if not np.isfinite(values).all():
        raise ConfigError(f"bertscore.weights={weights}: gives values that are not finite")
    empty = np.array([not text for text in predictions])
    notes = encoder.cut.note("bertscore")
    notes += empty_note("bertscore", empty, "0 before rescaling" if baseline else "0")
    if baseline is not None:
        values = (values - baseline.values) / (1 - np.asarray(baseline.values))
    scores = Scores.means(dict(zip(_NAMES, values.T, strict=True)))
    return Measured(scores, _parameters(encoder, weights, layer, own.idf, baseline), notes)


@lru_cache(maxsize=1)
def _loaded(settings: NeuralSettings) -> tuple["TextEncoder", int]:
    """Return the encoder, which is kept for the next system, and its layer."""
    from mmtx_cli.api.load import device_of
    from mmtx_cli.scoring.neural.text_encoder import TextEncoder, errors_of

    weights = str(settings.bertscore.weights)
    with errors_of("bertscore"):
        layer = chosen_layer(weights, settings.bertscore.layer)
        return TextEncoder(weights, device_of(settings.device), layers=layer), layer


def chosen_layer(weights: str, layer: int | None) -> int:
    """Return the number of the layer, from 1.

    Raises:
        ConfigError: if the model lacks it, or none is chosen and the best one is unknown.
        ValueError: if the model cannot be found.
    """
    from mmtx_cli.hub.huggingface import model_config
    from mmtx_cli.scoring.neural.text_encoder import resolved, short_name

    depth = getattr(model_config(resolved(weights)).get_text_config(), "num_hidden_layers", None)
    chosen = layer or _LAYERS.get(short_name(weights).rpartition("/")[2])
    if chosen is None:
        raise ConfigError(
            f"bertscore.layer: required for {weights}, whose best layer is not known; set it to 1 "
            f"to {depth}: about two thirds of the depth is usual"
        )
    if depth is not None and chosen > depth:
        raise ConfigError(f"bertscore.layer={chosen}: {weights} has {depth} layers")
    return chosen


def weight_of(
    encoder: "TextEncoder", idf: bool, references: Sequence[Sequence[int]]
) -> Callable[[int], float]:
    """Return the weight of a token: its inverse document frequency, or 1; 0 for [CLS] and [SEP].

    Args:
        encoder: The encoder.
        idf: Whether rare tokens weigh more.
        references: Tokens of all references.
    """
    if not idf:
        ignored = {encoder.tokenizer.cls_token_id, encoder.tokenizer.sep_token_id}
        return lambda token: 0.0 if token in ignored else 1.0
    found, unseen = inverse_document_frequencies(references), log(len(references) + 1)
    return lambda token: found.get(token, unseen)


def _tokens(encoder: "TextEncoder", texts: Sequence[str]) -> dict[str, list[int]]:
    """Return the tokens of each different text."""
    different = list(dict.fromkeys(texts))
    kinds = {kind.__name__.removesuffix("Fast") for kind in type(encoder.tokenizer).__mro__}
    # the original encodes the first word of these as any other word, with a space before it
    space = " " if kinds & {"GPT2Tokenizer", "RobertaTokenizer"} else ""
    rows = encoder.encode([space + text if text else text for text in different])
    return dict(zip(different, rows, strict=True))


def _parts(
    encoder: "TextEncoder",
    tokens: Mapping[str, list[int]],
    predictions: Sequence[str],
    references: Sequence[Sequence[str]],
    weight: Callable[[int], float],
    batch_size: int,
) -> Iterator[tuple[dict[str, TokenVectors], slice]]:
    """Yield the token vectors of the texts of some samples, and which samples these are.

    Args:
        encoder: The encoder.
        tokens: Tokens of each text.
        predictions: [n] texts.
        references: [n] lists of texts.
        weight: Returns the weight of a token.
        batch_size: Texts per batch.
    """
    step = max(1, _TEXTS * len(predictions) // (len(predictions) + sum(map(len, references))))
    firsts = range(0, len(predictions), step)
    for first in track(firsts, len(firsts), "bertscore"):
        part = slice(first, first + step)
        texts = {text: None for own in references[part] for text in own}
        texts |= dict.fromkeys(predictions[part])
        order = sorted(texts, key=lambda text: -len(tokens[text]))
        found: dict[str, TokenVectors] = {}
        for i in range(0, len(order), batch_size):
            batch = order[i : i + batch_size]
            x = encoder.vectors([tokens[text] for text in batch])[0].cpu().numpy()
            for text, vectors in zip(batch, x, strict=True):
                weights = np.array([weight(token) for token in tokens[text]])
                found[text] = TokenVectors(unit(vectors[: len(weights)]), weights)
        yield found, part


def _parameters(
    encoder: "TextEncoder", weights: str, layer: int, idf: bool, baseline: Baseline | None
) -> dict[str, Any]:
    """Return how the scores were computed, with the hash code of the original."""
    from mmtx_cli.scoring.neural.text_encoder import short_name

    described = encoder.description(weights)
    code = f"{short_name(weights)}_L{layer}_{'idf' if idf else 'no-idf'}_version=mmtx-{__version__}"
    code += f"(hug_trans={described['transformers']})"
    return {
        "hash": code + ("-custom-rescaled" if baseline else ""),
        **described,
        "layer": layer,
        "idf": idf,
        "baseline": None if baseline is None else [baseline.path, *baseline.values],
        "references": "the one with the best F1",
    }
