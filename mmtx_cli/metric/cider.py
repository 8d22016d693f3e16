"""CIDEr-D (Vedantam et al., 2015) as the MS-COCO caption evaluation computes it."""

import numpy as np

from mmtx_cli.metric.ngrams import MAX_ORDER, Corpus, Ngrams
from mmtx_cli.metric.scores import Scores

_SIGMA = 6.0
_SCALE = 10.0


def cider_scores(corpus: Corpus) -> Scores:
    """Return ``cider``, of each sample and their mean, in [0, 10].

    How rare an n-gram is, is counted over the references of all samples given: a sample's score
    depends on the set it is in, and where ``has_weights`` is False all are 0. Intervals and subsets
    keep the rarity of the whole set. Lengths in the penalty are numbers of bigrams, as in that
    evaluation.
    """
    similarity = sum(_similarity(corpus, ngrams) for ngrams in corpus.ngrams)
    bigrams = np.maximum(corpus.length - 1, 0)
    difference = bigrams - bigrams[corpus.candidate][corpus.sample]
    penalty = np.exp(-(difference**2) / (2 * _SIGMA**2))
    reference = ~corpus.is_candidate
    sample = corpus.sample[reference]
    total = np.bincount(sample, (similarity * penalty)[reference], minlength=corpus.num_samples)
    number = np.bincount(sample, minlength=corpus.num_samples)
    cider = _SCALE * total / MAX_ORDER / number
    return Scores({"cider": cider}, np.stack([cider, np.ones_like(cider)], axis=1), _figures)


def has_weights(corpus: Corpus) -> bool:
    """Is CIDEr-D defined? Not where every n-gram of the references occurs in those of all samples:
    of one sample alone, or of samples with the same references, all weights are 0.
    """
    return any(
        (_rarity(corpus, ngrams, own)[ngrams.gram[~own]] > 0).any()
        for ngrams in corpus.ngrams
        for own in [corpus.is_candidate[ngrams.caption]]
    )


def _similarity(corpus: Corpus, ngrams: Ngrams) -> np.ndarray:
    """Return how alike each reference and its candidate are in n-grams of one order.

    [c]: the cosine of tf-idf vectors, the candidate's entries clipped to the reference's.
    """
    own = corpus.is_candidate[ngrams.caption]
    weight = ngrams.count * _rarity(corpus, ngrams, own)[ngrams.gram]
    num_captions = len(corpus.length)
    norm = np.sqrt(np.bincount(ngrams.caption, weight**2, minlength=num_captions))
    candidate_weight = np.zeros(len(ngrams.group_start))
    candidate_weight[ngrams.group[own]] = weight[own]
    shared = np.where(own, 0, np.minimum(candidate_weight[ngrams.group], weight) * weight)
    product = np.bincount(ngrams.caption, shared, minlength=num_captions)
    norms = norm * norm[corpus.candidate][corpus.sample]
    return np.divide(product, norms, out=np.zeros(num_captions), where=norms > 0)


def _rarity(corpus: Corpus, ngrams: Ngrams, own: np.ndarray) -> np.ndarray:
    """Return the log of samples over samples that have the n-gram in a reference, by n-gram."""
    # the last entry of a group is a reference's, if any is
    last = np.append(ngrams.group_start[1:], len(own))[: len(ngrams.group_start)] - 1
    in_references = last[~own[last]]
    num_grams = int(ngrams.gram.max(initial=-1)) + 1
    frequency = np.bincount(ngrams.gram[in_references], minlength=num_grams)
    return np.log(max(corpus.num_samples, 1)) - np.log(np.maximum(frequency, 1))


def _figures(sums: np.ndarray) -> dict[str, np.ndarray]:
    return {"cider": sums[..., 0] / sums[..., 1]}
