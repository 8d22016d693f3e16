import math
from copy import deepcopy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.head.objective import cider_reward
from mmtx_cli.head.objective.cider_reward import CiderReward
from mmtx_cli.metric.caption import token_scores
from tests.metric.corpora import WORDS, random_tokens

TEXTS = st.lists(st.sampled_from(WORDS[:5]), max_size=8)
REFERENCES = st.lists(st.lists(TEXTS, min_size=1, max_size=3), min_size=1, max_size=5)


def naive(training, own, words, ended=True):
    """CIDEr-D by its equations (Vedantam et al. 2015, section 4 and 5), the end a word "</s>"."""

    def grams(text, n):
        return [" ".join(text[i : i + n]) for i in range(len(text) - n + 1)]

    def tf_idf(text, n):
        found = grams(text, n)
        documents = {
            gram: sum(any(gram in grams(ref, n) for ref in refs) for refs in training)
            for gram in set(found)
        }
        return {
            gram: found.count(gram) * math.log(len(training) / max(1, documents[gram]))
            for gram in documents
        }

    training = [[[*ref, "</s>"] for ref in refs] for refs in training]
    own, words = [[*ref, "</s>"] for ref in own], [*words, *(["</s>"] if ended else [])]
    total = 0.0
    for n in (1, 2, 3, 4):
        for ref in own:
            g, r = tf_idf(words, n), tf_idf(ref, n)
            norm = math.sqrt(sum(x * x for x in g.values()) * sum(x * x for x in r.values()))
            clipped = sum(min(g[gram], r[gram]) * r[gram] for gram in g.keys() & r.keys())
            delta = max(len(words) - 1, 0) - max(len(ref) - 1, 0)
            total += math.exp(-(delta**2) / 72) * clipped / norm if norm else 0.0
    return 10 * total / 4 / len(own)


def by_id(references):
    return {f"s{i}": own for i, own in enumerate(references)}


@given(REFERENCES, st.lists(TEXTS, min_size=1, max_size=2), TEXTS, st.booleans())
def test_equals_the_equations(training, other, words, ended):
    """Of a training sample, and of another one, whose words add nothing to the frequencies."""
    reward = CiderReward(by_id(training), {"other": other})
    for name, own in (("s0", training[0]), ("other", other)):
        wanted = naive(training, own, words, ended)
        assert reward.score(name, words, ended) == pytest.approx(wanted, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_without_the_end_it_is_the_metric(seed):
    candidates, references = random_tokens(40, seed)
    wanted = token_scores(candidates, references).per_sample["cider"]
    reward = CiderReward(by_id(references), end=False)
    found = [reward.score(f"s{i}", words) for i, words in enumerate(candidates)]
    assert found == pytest.approx(list(wanted), rel=1e-9, abs=1e-9)


def test_a_caption_that_breaks_off_scores_less():
    """By the metric itself, "a dog runs on the" is as good as its reference is long."""
    references = [
        [["a", "dog", "runs", "on", "the", "grass"], ["a", "dog", "runs"]],
        [["a", "cat", "sits", "on", "the", "sofa"]],
        [["two", "men", "walk"]],
    ]
    reward = CiderReward(by_id(references))
    whole = reward.score("s0", ["a", "dog", "runs", "on", "the", "grass"])
    broken = reward.score("s0", ["a", "dog", "runs", "on", "the"])
    cut_off = reward.score("s0", ["a", "dog", "runs", "on", "the", "grass"], ended=False)
    metric = CiderReward(by_id(references), end=False)
    assert whole > cut_off > 0
    assert broken < whole
    assert metric.score("s0", ["a", "dog", "runs"], False) == metric.score(
        "s0", ["a", "dog", "runs"]
    )
    # the end raises what a broken caption loses
    own = metric.score("s0", ["a", "dog", "runs", "on", "the"])
    assert broken / whole < own / metric.score("s0", references[0][0])


def test_scores_do_not_depend_on_the_cache(monkeypatch):
    references = by_id(random_tokens(10, 0)[1])
    cached, plain = CiderReward(references), CiderReward(references)
    twice = [cached.score(name, own[0]) for _ in range(2) for name, own in references.items()]
    monkeypatch.setattr(cider_reward, "CACHED", 0)
    assert twice == 2 * [plain.score(name, own[0]) for name, own in references.items()]
    assert len(cached.cache) == 10
    assert not plain.cache
    assert deepcopy(cached) is cached


def test_bounds():
    """A reference of its own scores 10, an empty caption and one of other words 0."""
    references = by_id([[["a", "red", "ball", "rolls"]], [["a", "cat", "sits", "there"]]])
    reward = CiderReward(references)
    assert reward.score("s0", references["s0"][0]) == pytest.approx(10)
    assert reward.score("s0", [], ended=False) == 0
    assert reward.score("s0", ["nothing", "of", "it"]) == 0
    assert "s0" in reward
    assert "s2" not in reward
