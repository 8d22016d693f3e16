"""BLEU-1 to BLEU-4 (Papineni et al., 2002), as computed by the MS-COCO caption evaluation."""

import numpy as np

from mmtx_cli.metric.ngrams import MAX_ORDER, Corpus, Ngrams
from mmtx_cli.metric.scores import Metric, Scores

METRICS = (Metric("bleu_4", headline=True), Metric(r"bleu_\d"))
"""BLEU-4 is the headline of captions if CIDEr-D is undefined."""

# Added to counts by the COCO code, so that samples without matching n-grams have a score.
_TINY, _SMALL = 1e-15, 1e-9


def bleu_scores(corpus: Corpus) -> Scores:
    """Return ``bleu_1`` to ``bleu_4``, of the corpus and of each sample, in [0, 1].

    The reference length is that of the closest reference in length; the shorter one of ties.
    """
    matched = [_matched(corpus, ngrams) for ngrams in corpus.ngrams]
    length = corpus.length[corpus.candidate]
    possible = [np.maximum(length - order, 0) for order in range(MAX_ORDER)]
    statistics = np.stack([*matched, *possible, length, _closest(corpus)], axis=1)
    statistics = statistics.astype(np.float64)
    return Scores(_reduce(statistics), statistics, _reduce)


def _matched(corpus: Corpus, ngrams: Ngrams) -> np.ndarray:
    """Return the clipped n-gram matches of each candidate [n]."""
    is_candidate = corpus.is_candidate[ngrams.caption]
    allowed = np.where(is_candidate, 0, ngrams.count)
    if len(allowed):
        allowed = np.maximum.reduceat(allowed, ngrams.group_start)
    clipped = np.minimum(ngrams.count[is_candidate], allowed[ngrams.group[is_candidate]])
    sample = corpus.sample[ngrams.caption[is_candidate]]
    return np.bincount(sample, clipped, minlength=corpus.num_samples)


def _closest(corpus: Corpus) -> np.ndarray:
    """Return the length [n] of the reference closest in length to each candidate."""
    distance = np.abs(corpus.length - corpus.length[corpus.candidate][corpus.sample])
    references = np.flatnonzero(~corpus.is_candidate)
    order = references[
        np.lexsort((corpus.length[references], distance[references], corpus.sample[references]))
    ]
    return corpus.length[order[np.diff(corpus.sample[order], prepend=-1) != 0]]


def _reduce(sums: np.ndarray) -> dict[str, np.ndarray]:
    """Return BLEU from summed statistics [..., 10]: matched and possible by order, two lengths."""
    matched, possible = sums[..., :MAX_ORDER], sums[..., MAX_ORDER : 2 * MAX_ORDER]
    product = np.cumprod((matched + _TINY) / (possible + _SMALL), axis=-1)
    ratio = (sums[..., -2] + _TINY) / (sums[..., -1] + _SMALL)
    brevity = np.exp(np.minimum(1 - 1 / ratio, 0))
    return {
        f"bleu_{order}": product[..., order - 1] ** (1 / order) * brevity
        for order in range(1, MAX_ORDER + 1)
    }
