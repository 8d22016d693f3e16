"""CIDEr-D (Vedantam et al., 2015), as computed by the MS-COCO caption evaluation."""

import numpy as np

from mmtx_cli.metric.ngrams import MAX_ORDER, Corpus, Ngrams
from mmtx_cli.metric.scores import Metric, Scores

METRICS = (Metric("cider", headline=True), Metric("reward"), Metric("ended"))
"""``reward`` is CIDEr-D as self-critical training computes it, ``ended`` the share of captions that
have an end.
"""

SIGMA = 6.0
SCALE = 10.0


def cider_scores(corpus: Corpus) -> Scores:
    """Return ``cider`` of each sample and its mean, in [0, 10].

    Document frequencies are counted over the references of all given samples: a sample's score
    depends on the set it is in, and all are 0 if ``has_weights`` is False. Intervals and subsets
    keep the frequencies of the whole set. The length penalty counts bigrams, as in the COCO code.
    """
    similarity = sum(_similarity(corpus, ngrams) for ngrams in corpus.ngrams)
    bigrams = np.maximum(corpus.length - 1, 0)
    difference = bigrams - bigrams[corpus.candidate][corpus.sample]
    penalty = np.exp(-(difference**2) / (2 * SIGMA**2))
    reference = ~corpus.is_candidate
    sample = corpus.sample[reference]
    total = np.bincount(sample, (similarity * penalty)[reference], minlength=corpus.num_samples)
    number = np.bincount(sample, minlength=corpus.num_samples)
    cider = SCALE * total / MAX_ORDER / number
    return Scores({"cider": cider}, np.stack([cider, np.ones_like(cider)], axis=1), _reduce)


def has_weights(corpus: Corpus) -> bool:
    """Return whether CIDEr-D is defined.

    It is not if every n-gram of the references occurs in the references of all samples: for a
    single sample, or samples with the same references, all weights are 0.
    """
    return any(
        (_rarity(corpus, ngrams, is_candidate)[ngrams.gram[~is_candidate]] > 0).any()
        for ngrams in corpus.ngrams
        for is_candidate in [corpus.is_candidate[ngrams.caption]]
    )


def _similarity(corpus: Corpus, ngrams: Ngrams) -> np.ndarray:
    """Return the similarity [c] of each reference to its candidate in n-grams of one order.

    It is the cosine of tf-idf vectors, the candidate's entries clipped to the reference's.
    """
    is_candidate = corpus.is_candidate[ngrams.caption]
    weight = ngrams.count * _rarity(corpus, ngrams, is_candidate)[ngrams.gram]
    num_captions = len(corpus.length)
    norm = np.sqrt(np.bincount(ngrams.caption, weight**2, minlength=num_captions))
    candidate_weight = np.zeros(len(ngrams.group_start))
    candidate_weight[ngrams.group[is_candidate]] = weight[is_candidate]
    shared = np.where(is_candidate, 0, np.minimum(candidate_weight[ngrams.group], weight) * weight)
    product = np.bincount(ngrams.caption, shared, minlength=num_captions)
    norms = norm * norm[corpus.candidate][corpus.sample]
    return np.divide(product, norms, out=np.zeros(num_captions), where=norms > 0)


def _rarity(corpus: Corpus, ngrams: Ngrams, is_candidate: np.ndarray) -> np.ndarray:
    """Return the inverse document frequency of each n-gram: log(samples / samples with it in a
    reference).
    """
    # the last entry of a group belongs to a reference if any reference has the n-gram
    last = np.append(ngrams.group_start[1:], len(is_candidate))[: len(ngrams.group_start)] - 1
    in_references = last[~is_candidate[last]]
    num_grams = int(ngrams.gram.max(initial=-1)) + 1
    frequency = np.bincount(ngrams.gram[in_references], minlength=num_grams)
    return np.log(max(corpus.num_samples, 1)) - np.log(np.maximum(frequency, 1))


def _reduce(sums: np.ndarray) -> dict[str, np.ndarray]:
    return {"cider": sums[..., 0] / sums[..., 1]}
