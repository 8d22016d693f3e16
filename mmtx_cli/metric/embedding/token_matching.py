"""BERTScore (Zhang et al., 2020, arXiv:1904.09675): tokens matched by their embeddings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from jaxtyping import Float

from mmtx_cli.metric.scores import Metric

METRICS = (
    Metric("bertscore_f1", headline=True),
    Metric("bertscore_precision"),
    Metric("bertscore_recall"),
)


@dataclass(frozen=True)
class TokenVectors:
    """A text's tokens: unit ``vectors`` [l, d], and ``weights`` [l] of which 0 means ignored.

    Tokens of weight 0, such as [CLS] and [SEP], have no weight of their own, but others may match
    them, as in the original.
    """

    vectors: Float[np.ndarray, "l d"]
    weights: Float[np.ndarray, " l"]


def precision_recall_f1(
    candidate: TokenVectors, reference: TokenVectors
) -> tuple[float, float, float]:
    """Return P, R and F1 of a candidate (equations 1 to 4 of the paper, with weights).

    Each token is matched with the most similar one of the other text. 0 if one of the texts has no
    token with a weight.
    """
    own, other = candidate.weights.sum(), reference.weights.sum()
    if not own or not other:
        return 0.0, 0.0, 0.0
    similarity = candidate.vectors @ reference.vectors.T
    precision = float(similarity.max(axis=1) @ candidate.weights / own)
    recall = float(similarity.max(axis=0) @ reference.weights / other)
    total = precision + recall
    return precision, recall, 2 * precision * recall / total if total else 0.0


def inverse_document_frequencies(references: Sequence[Sequence[int]]) -> Mapping[int, float]:
    """Return the weight of each token that occurs in a reference: log((m + 1) / (df + 1)).

    m is the number of references, df that of the references that contain the token (section 3,
    with plus-one smoothing). Other tokens have ``log(m + 1)``: ``df`` is 0.

    Args:
        references: Tokens of all references, special ones included.
    """
    counts = Counter(token for tokens in references for token in set(tokens))
    total = len(references) + 1
    return {token: log(total / (count + 1)) for token, count in counts.items()}
