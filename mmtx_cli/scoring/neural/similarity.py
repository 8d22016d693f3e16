"""Cosine similarity of the sentence embeddings of predictions and references."""

import numpy as np

from mmtx_cli.io.unicode import composed
from mmtx_cli.metric.embedding.cosine import Pairs, similarity_scores
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import Measured
from mmtx_cli.scoring.neural.batches import Vectors, encode
from mmtx_cli.scoring.settings import ScoreSettings


def measure(captions: Captions, settings: ScoreSettings) -> Measured:
    """Return ``similarity``, to the closest reference, and ``similarity_mean``.

    Raises:
        ConfigError: if the sentence encoder cannot be loaded.
    """
    from mmtx_cli.api.load import device_of
    from mmtx_cli.scoring.neural.sentence_encoder import SentenceEncoder
    from mmtx_cli.scoring.neural.text_encoder import errors_of

    own = settings.neural
    with errors_of("similarity"):
        encoder = SentenceEncoder(str(own.similarity.weights), device_of(own.device))
    predictions, references = normalized(captions)
    texts = [*predictions, *(text for group in references for text in group)]
    different = list(dict.fromkeys(texts))
    tokens = dict(zip(different, encoder.tokens(different), strict=True))
    vectors = encode(
        different,
        lambda some: [len(tokens[text]) for text in some],
        lambda some: encoder.vectors([tokens[text] for text in some]),
        own.batch_size,
        "similarity",
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


def normalized(captions: Captions) -> tuple[list[str], list[list[str]]]:
    """Return predictions and references in NFC, without white space around them."""
    predictions = [composed(text).strip() for text in captions.predictions]
    return predictions, [[composed(x).strip() for x in own] for own in captions.references]


def pairs_of(predictions: list[str], references: list[list[str]], vectors: Vectors[str]) -> Pairs:
    """Return each prediction with its references, as rows of the vectors."""
    flat = [text for group in references for text in group]
    counts = np.array([len(group) for group in references])
    return Pairs(vectors.rows(predictions), vectors.rows(flat), counts)


def empty_note(what: str, empty: np.ndarray) -> tuple[str, ...]:
    """Return a sentence about empty predictions, or nothing."""
    count = int(empty.sum())
    return (f"{what}: {count} of {len(empty)} predictions are empty and score 0",) if count else ()
