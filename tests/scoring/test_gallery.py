from pathlib import Path

import numpy as np
import pytest

from mmtx_cli.metric.scores import Scores
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.gallery import galleries
from mmtx_cli.scoring.result import ranking_metric

N = 20


def captions(name):
    return Captions(
        [f"s{i}" for i in range(N)],
        [f"{name} {i}" for i in range(N)],
        [[f"reference {i}"] for i in range(N)],
        [{"image": Path(f"{i}.jpg")} for i in range(N)],
        [(i, i + 1.0) for i in range(N)],
    )


@pytest.fixture
def one():
    return {"a": captions("a")}, {"a": Scores.means({"cider": np.arange(N) / 10})}


@pytest.fixture
def two(one):
    systems, scores = one
    other = np.arange(N) / 10
    other[:3] += [5, 4, 3]
    other[9:11] -= [0.5, 0.6]
    b = Scores.means({"cider": other})
    return systems | {"b": captions("b")}, scores | {"b": b}


def ids(part):
    return [sample.id for sample in part.samples]


def test_worst_best_and_random_samples(one):
    worst, best, random = galleries("cider", *one, 4)
    assert [part.title for part in (worst, best, random)] == ["Worst", "Best", "Random"]
    assert ids(worst) == ["s0", "s1", "s2", "s3"]
    assert ids(best) == ["s19", "s18", "s17", "s16"]
    assert ids(random) == ids(galleries("cider", *one, 4)[2])
    assert len({*ids(random)}) == 4
    sample = best.samples[0]
    assert (sample.captions[0].caption, sample.captions[0].value) == ("a 19", 1.9)
    assert sample.references == ("reference 19",)
    assert (sample.media, sample.segment) == ({"image": Path("19.jpg")}, (19, 20))


def test_few_samples_are_all_shown_once(one):
    (part,) = galleries("cider", *one, N)
    assert ids(part) == [f"s{i}" for i in reversed(range(N))]
    assert galleries("cider", *one, 0) == []


def test_samples_on_which_systems_differ(two):
    first, second, *others = galleries("cider", *two, 3)
    assert (first.title, ids(first)) == ("“a” is better than “b”", ["s10", "s9"])
    assert (second.title, ids(second)) == ("“b” is better than “a”", ["s0", "s1", "s2"])
    assert [part.title for part in others] == ["Worst", "Best", "Random"]
    assert [own.system for own in second.samples[0].captions] == ["b", "a"], "the better one first"


def test_a_lower_value_may_be_better(one):
    systems, _ = one
    scores = {"a": Scores.means({"repetition": np.arange(N) / 10})}
    worst, best, _ = galleries("repetition", systems, scores, 2)
    assert (ids(worst), ids(best)) == (["s19", "s18"], ["s0", "s1"])


def test_without_values_they_are_random(one):
    systems, scores = one
    (part,) = galleries(None, systems, scores, 5)
    assert (part.title, len(part.samples)) == ("Random", 5)
    assert part.samples[0].captions[0].value is None


def test_samples_are_ranked_by_a_metric_that_has_a_better_direction():
    values = np.arange(3.0)
    length = {"length": values, "novel": values}
    assert ranking_metric({"a": Scores.means(length)}) is None
    assert ranking_metric({"a": Scores.means(length | {"meteor": values})}) == "meteor"
    assert ranking_metric({"a": Scores.means(length | {"meteor": values, "cider": values})}) == (
        "cider"
    )
