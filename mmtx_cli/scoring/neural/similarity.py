"""Cosine similarity of the sentence embeddings of predictions and references."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from mmtx_cli.metric.embedding.cosine import similarity_scores
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import Measured
from mmtx_cli.scoring.neural.batches import Vectors, encode
from mmtx_cli.scoring.neural.settings import NeuralSettings
from mmtx_cli.scoring.neural.texts import empty_note, pairs_of, trimmed
from mmtx_cli.scoring.settings import ScoreSettings

if TYPE_CHECKING:
    from mmtx_cli.scoring.neural.sentence_encoder import SentenceEncoder


@dataclass
class _State:
    """A loaded encoder, and the vectors of the captions that it has read.

    It is kept for the next system, whose references are the same.
    """

    encoder: "SentenceEncoder"
    vectors: Vectors[str] | None = None


@lru_cache(maxsize=1)
def _state(settings: NeuralSettings) -> _State:
    from mmtx_cli.api.load import device_of
    from mmtx_cli.scoring.neural.sentence_encoder import SentenceEncoder
    from mmtx_cli.scoring.neural.text_encoder import errors_of

    with errors_of("similarity"):
        return _State(SentenceEncoder(str(settings.similarity.weights), device_of(settings.device)))


def measure(captions: Captions, settings: ScoreSettings) -> Measured:
    """Return ``similarity``, to the closest reference, and ``similarity_mean``.

    Raises:
        ConfigError: if the sentence encoder cannot be loaded.
    """
    own, state = settings.neural, _state(settings.neural)
    encoder = state.encoder
    predictions, references = trimmed(captions)
    different = list(dict.fromkeys([*predictions, *(x for group in references for x in group)]))
    tokens = dict(zip(different, encoder.tokens(different), strict=True))
    vectors = state.vectors = encode(
        different,
        lambda some: [len(tokens[text]) for text in some],
        lambda some: encoder.vectors([tokens[text] for text in some]),
        own.batch_size,
        "similarity",
        state.vectors,
    )
    empty = np.array([not text for text in predictions])
    notes = encoder.encoder.cut.note("similarity")
    if not encoder.is_described:
        notes += (
            f"similarity: {own.similarity.weights} has no modules.json of sentence-transformers; "
            "the mean of the tokens is used",
        )
    return Measured(
        similarity_scores(vectors.unit, pairs_of(predictions, references, vectors), empty),
        encoder.description(),
        notes + empty_note("similarity", empty),
    )
