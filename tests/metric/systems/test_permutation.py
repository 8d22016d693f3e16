import numpy as np
import pytest

from mmtx_cli.metric.caption import token_scores
from mmtx_cli.metric.scores import Scores
from mmtx_cli.metric.systems.permutation import permutation_test
from tests.metric.corpora import random_tokens

stats = pytest.importorskip("scipy.stats")


def pair(n, seed, shift=0.25):
    """Values of two systems with ties and with equal samples."""
    rng = np.random.default_rng(seed)
    a = rng.integers(0, 5, n) / 4
    return a, a + rng.integers(-1, 2, n) / 4 + shift * rng.integers(0, 2, n)


def ours(a, b, **options):
    return permutation_test(Scores.means({"x": a}), Scores.means({"x": b}), **options)["x"]


def scipys(a, b, permutations):
    return stats.permutation_test(
        (a, b),
        lambda a, b, axis: (a - b).mean(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=permutations,
        rng=1,
    ).pvalue


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("n", [2, 5, 12])
def test_all_exchanges_of_few_samples_are_scipys(n, seed):
    a, b = pair(n, seed)
    assert ours(a, b) == pytest.approx(scipys(a, b, 10_000), rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_random_exchanges_of_many_samples_are_scipys(seed):
    a, b = pair(60, seed, shift=0.15)
    wanted = scipys(a, b, 10_000)
    # both are drawn: four standard deviations of their difference
    error = 4 * np.sqrt(2 * wanted * (1 - wanted) / 10_000) + 2e-4
    assert ours(a, b) == pytest.approx(wanted, abs=error)


def test_systems_that_say_the_same_are_exchangeable():
    a, _ = pair(30, 0)
    assert ours(a, a) == 1
    assert ours(a, a.copy(), permutations=7) == 1


def test_it_is_never_zero():
    a = np.arange(50.0)
    assert ours(a, a + 1, permutations=999) == pytest.approx(1 / 1000)


def test_p_is_uniform_if_the_systems_are_equally_good():
    rng = np.random.default_rng(3)
    p = [ours(*rng.normal(size=(2, 40)), permutations=400) for _ in range(300)]
    assert stats.kstest(p, "uniform").pvalue > 1e-3


def test_bleu_of_exchanged_captions_is_computed_again():
    """The statistics of the corpus are exchanged, which is the same as exchanging the captions."""
    a, references = random_tokens(7, seed=1)
    b = [tokens[::-1][:3] if i % 3 else [*tokens, "dog"] for i, tokens in enumerate(a)]

    def score(captions):
        return token_scores(captions, references)

    wanted = {name: [] for name in score(a).metrics()}
    for mask in range(2**7):
        sides = [(y, x) if mask >> i & 1 else (x, y) for i, (x, y) in enumerate(zip(a, b))]  # noqa: B905
        left, right = (score(list(own)).metrics() for own in zip(*sides, strict=True))
        for name in wanted:
            wanted[name].append(abs(left[name] - right[name]))
    found = permutation_test(score(a), score(b))
    assert found.keys() == wanted.keys()
    for name, values in wanted.items():
        share = np.mean(np.array(values) >= values[0] * (1 - 1e-9))
        assert found[name] == pytest.approx(share), name
    assert 0 < min(found.values()) < 1


def test_an_undefined_metric_has_no_p_value():
    a, b = pair(20, 2)
    nothing = Scores(
        {}, np.stack([a, b], axis=1), lambda sums: {"x": sums[..., 0] / (sums[..., 0] * 0)}
    )
    assert permutation_test(nothing, nothing, 10) == {}


def test_chunks_do_not_change_what_is_counted(monkeypatch):
    a, b = pair(12, 4)
    whole = ours(a, b)
    monkeypatch.setattr("mmtx_cli.metric.systems.permutation._PIECE", 100)
    assert ours(a, b) == whole
