"""ROUGE-L (Lin, 2004), as computed by the MS-COCO caption evaluation."""

import numpy as np

from mmtx_cli.metric.ngrams import Corpus
from mmtx_cli.metric.scores import Metric, Scores

METRICS = (Metric("rouge_l"),)

_BETA = 1.2
# Pairs are compared in chunks of about this many table cells, which fit into the CPU cache.
_PIECE = 1 << 16


def rouge_scores(corpus: Corpus) -> Scores:
    """Return ``rouge_l`` of each sample and its mean, in [0, 1].

    The F-measure, with recall weighted by 1.2, of the best precision and the best recall over the
    references, which may come from two different references. A caption without tokens counts as one
    empty token, as in the COCO code: it matches only another such caption.
    """
    reference = np.flatnonzero(~corpus.is_candidate)
    candidate = corpus.candidate[corpus.sample[reference]]
    common = _longest_common(corpus, candidate, reference)
    length = np.maximum(corpus.length, 1)
    first = np.flatnonzero(np.diff(corpus.sample[reference], prepend=-1))
    if not len(first):
        return Scores({"rouge_l": np.zeros(0)}, np.zeros((0, 2)), _reduce)
    precision = np.maximum.reduceat(common / length[candidate], first)
    recall = np.maximum.reduceat(common / length[reference], first)
    weighted = recall + _BETA**2 * precision
    rouge = np.divide(
        (1 + _BETA**2) * precision * recall,
        weighted,
        out=np.zeros_like(weighted),
        where=weighted > 0,
    )
    return Scores({"rouge_l": rouge}, np.stack([rouge, np.ones_like(rouge)], axis=1), _reduce)


def _longest_common(corpus: Corpus, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the length of the longest common subsequence of pairs of captions [p], [p] -> [p]."""
    common = np.zeros(len(left), dtype=np.int64)
    longest = np.maximum(corpus.length[left], corpus.length[right])
    order = np.argsort(-longest, kind="stable")
    at = 0
    while at < len(order):
        pairs = order[at : at + max(1, _PIECE // int(longest[order[at]] + 1))]
        common[pairs] = _table(_padded(corpus, left[pairs], -1), _padded(corpus, right[pairs], -2))
        at += len(pairs)
    return common


def _padded(corpus: Corpus, captions: np.ndarray, padding: int) -> np.ndarray:
    """Return the tokens of captions [p] as columns [l, p]; -3 is the token of an empty caption."""
    length = corpus.length[captions]
    place = np.arange(max(1, int(length.max())))[:, None]
    tokens = np.append(corpus.tokens, -3)
    at = np.where(place < length, corpus.start[captions] + place, len(corpus.tokens))
    columns = np.where(place < length, tokens[at], padding)
    columns[0, length == 0] = -3
    return columns


def _table(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the last cell of the dynamic program for each pair of columns [l, p], [m, p]."""
    row = np.zeros((len(right) + 1, right.shape[1]), dtype=np.int32)
    for token in left:
        better = np.maximum(row[1:], row[:-1] + (right == token))
        np.maximum.accumulate(better, axis=0, out=row[1:])
    return row[-1]


def _reduce(sums: np.ndarray) -> dict[str, np.ndarray]:
    return {"rouge_l": sums[..., 0] / sums[..., 1]}
