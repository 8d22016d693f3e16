"""METEOR 1.5 (Denkowski and Lavie, 2014) of candidates with references."""

from collections.abc import Sequence
from itertools import chain

import numpy as np

from mmtx_cli.metric.meteor.data import MeteorData
from mmtx_cli.metric.meteor.matches import Matches, batches, find_matches
from mmtx_cli.metric.meteor.parameters import Parameters
from mmtx_cli.metric.meteor.ragged import starts
from mmtx_cli.metric.meteor.relations import Texts, relate
from mmtx_cli.metric.meteor.search import best_alignments
from mmtx_cli.metric.scores import Metrics, Scores

STAGES = ("exact", "stem", "synonym", "paraphrase")
_COLUMNS = 5 + 4 * len(STAGES)


def meteor_scores(
    candidates: Sequence[Sequence[str]],
    references: Sequence[Sequence[Sequence[str]]],
    data: MeteorData,
) -> Scores:
    """Return ``meteor`` in [0, 1], of the corpus and of each of n samples.

    A sample is scored with its best reference, the first one of ties; an empty candidate scores 0.
    The score of the corpus is that of the summed counts, not the mean of the samples.

    Args:
        candidates: [n] tokens of each candidate.
        references: [n] tokens of the references of each sample, at least one.
        data: The language with what its stages need.
    """
    count = np.array([1 + len(own) for own in references], dtype=np.int64)
    numbers: dict[tuple[str, ...], int] = {}
    text_of: dict[str, int] = {}
    text = []
    for tokens in chain.from_iterable(
        (one, *own) for one, own in zip(candidates, references, strict=True)
    ):
        line = " ".join(tokens)
        if (number := text_of.get(line)) is None:
            words = tuple(data.normalized(line))
            number = text_of[line] = numbers.setdefault(words, len(numbers))
        text.append(number)
    texts = Texts.build(list(numbers))
    first = starts(count)[:-1]
    of_text = np.array(text, dtype=np.int64)
    is_reference = np.ones(len(of_text), dtype=bool)
    is_reference[first] = False
    pairs = np.stack([np.repeat(of_text[first], count - 1), of_text[is_reference]], axis=1)
    key, inverse = np.unique(pairs[:, 0] * len(numbers) + pairs[:, 1], return_inverse=True)
    statistics = _statistics(texts, np.stack(np.divmod(key, max(len(numbers), 1)), axis=1), data)
    score = _score(statistics, data.parameters)[inverse]
    begin = starts(count - 1)[:-1]
    best = np.maximum.reduceat(score, begin) if len(score) else score
    is_best = np.flatnonzero(score == np.repeat(best, count - 1))
    chosen = is_best[np.searchsorted(is_best, begin)]

    def reduce(sums: np.ndarray) -> Metrics:
        return {"meteor": _score(sums, data.parameters)}

    return Scores({"meteor": score[chosen]}, statistics[inverse[chosen]], reduce)


def _statistics(texts: Texts, pairs: np.ndarray, data: MeteorData) -> np.ndarray:
    """Return the counts of each pair of texts [p, 2], [p, 5 + 4 * stages].

    They are: words of the candidate and of the reference, function words of both, chunks (0 if the
    two are one chunk), and for each stage the matched content words of the candidate, of the
    reference, and the matched function words of both.
    """
    is_function = np.array([word in data.function_words for word in texts.vocabulary], dtype=bool)
    function_words = starts(is_function[texts.tokens])
    lengths = texts.length[pairs]
    statistics = np.zeros((len(pairs), _COLUMNS))
    statistics[:, :2] = lengths
    ends = texts.first[pairs] + lengths
    statistics[:, 2:4] = function_words[ends] - function_words[texts.first[pairs]]
    occurrences, relation = relate(texts, data.stem, data.synonyms, data.paraphrases)
    for rows in batches(occurrences, texts.length, pairs):
        matches = find_matches(occurrences, relation, pairs[rows])
        chosen, chunks = best_alignments(matches, lengths[rows])
        own = pairs[rows[matches.pair]]
        begin = texts.first[own] + matches.start
        function = function_words[begin + matches.length] - function_words[begin]
        statistics[rows, 5:] = _matched(matches, chosen, function, len(rows))
        statistics[rows, 4] = chunks
    matched = statistics[:, 5:].reshape(-1, len(STAGES), 2, 2).sum(axis=(1, 2))
    statistics[(matched == lengths).all(axis=1) & (statistics[:, 4] == 1), 4] = 0
    return statistics


def _matched(
    matches: Matches, chosen: np.ndarray, function: np.ndarray, num_pairs: int
) -> np.ndarray:
    """Return the matched words of each pair by stage, kind of word and side [pairs, 4 * stages]."""
    cell = matches.pair[chosen] * len(STAGES) + matches.stage[chosen]
    counts = np.concatenate([matches.length - function, function], axis=1)[chosen]
    size = num_pairs * len(STAGES)
    columns = [np.bincount(cell, column, minlength=size) for column in counts.T]
    return np.stack(columns, axis=1).reshape(num_pairs, -1)


def _score(statistics: np.ndarray, parameters: Parameters) -> np.ndarray:
    """Return METEOR from the statistics [..., 5 + 4 * stages]."""
    delta = parameters.delta
    length, function = statistics[..., 0:2], statistics[..., 2:4]
    stages = statistics[..., 5:].reshape(*statistics.shape[:-1], len(STAGES), 2, 2)
    weighted, matched = np.zeros(length.shape), np.zeros(length.shape)
    for kind, weight_of_kind in enumerate((delta, 1 - delta)):
        for stage, name in enumerate(STAGES):
            counts = stages[..., stage, kind, :]
            weighted += counts * parameters.weights.get(name, 0.0) * weight_of_kind
            matched += counts
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = weighted / (delta * (length - function) + (1 - delta) * function)
        mean = 1 / ((1 - parameters.alpha) / ratio[..., 0] + parameters.alpha / ratio[..., 1])
        fragmentation = statistics[..., 4] / (matched.sum(axis=-1) / 2)
        score = mean * (1 - parameters.gamma * fragmentation**parameters.beta)
    return np.maximum(np.where(np.isnan(score), 0, score), 0)
