"""The texts of a system and its references as the families with a model compare them."""

import numpy as np

from mmtx_cli.io.unicode import composed
from mmtx_cli.metric.embedding.cosine import Pairs
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.neural.batches import Vectors


def trimmed(captions: Captions) -> tuple[list[str], list[list[str]]]:
    """Return predictions and references in NFC, without white space around them."""
    predictions = [composed(text).strip() for text in captions.predictions]
    return predictions, [[composed(x).strip() for x in own] for own in captions.references]


def pairs_of(predictions: list[str], references: list[list[str]], vectors: Vectors[str]) -> Pairs:
    """Return each prediction with its references, as rows of the vectors."""
    flat = [text for group in references for text in group]
    counts = np.array([len(group) for group in references])
    return Pairs(vectors.rows(predictions), vectors.rows(flat), counts)


def empty_note(what: str, empty: np.ndarray, score: str = "0") -> tuple[str, ...]:
    """Return a sentence about empty predictions and their score, or nothing."""
    if not (count := int(empty.sum())):
        return ()
    return (f"{what}: {count} of {len(empty)} predictions are empty and score {score}",)
