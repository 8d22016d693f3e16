import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.generation.beam import BeamSearch
from mmtx_cli.generation.rowwise import Greedy
from tests.generation.toy import EOS, Table, every_text, generated, limits


def search(tables, beams, max_length, penalty=1.0, **kwargs):
    method = BeamSearch(limits(max_length), beams, penalty, **kwargs)
    return generated(tables, method)[0]


def naive(table, beams, max_length, penalty, stop=False, cost=None):
    """Beam search in plain Python lists, one input at a time (Wu et al. 2016, section 7)."""
    alive, ended, done = [(0.0, ())], [], False
    for length in range(1, max_length):
        if done:
            break
        candidates = [
            (total + log_p - (0 if cost is None else cost(length, token)), (*tokens, token))
            for total, tokens in alive
            for token, log_p in enumerate(table.log_probabilities(tokens))
        ]
        candidates = sorted(candidates, reverse=True)[: 2 * beams]
        ended += [(x / length**penalty, y) for x, y in candidates[:beams] if y[-1] == EOS]
        ended = sorted(ended, reverse=True)[:beams]
        alive = [(x, y) for x, y in candidates if y[-1] != EOS][:beams]
        full = len(ended) == beams
        done = full and (stop or ended[-1][0] >= alive[0][0] / length**penalty)
    rest = (
        [] if done else sorted(((x / length**penalty, (*y, EOS)) for x, y in alive), reverse=True)
    )
    return ended + rest


def agrees(found, wanted):
    for (tokens, _, score), (best, text) in zip(found, wanted, strict=False):
        assert tokens == text
        assert score == pytest.approx(best, abs=1e-5)


@given(
    seed=st.integers(0, 10_000),
    vocab=st.integers(2, 7),
    beams=st.integers(1, 4),
    max_length=st.integers(2, 9),
    penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    eos_bias=st.sampled_from([-4.0, 0.0, 2.0]),
    stop=st.booleans(),
)
def test_equals_beam_search_in_lists(seed, vocab, beams, max_length, penalty, eos_bias, stop):
    tables = [Table(seed + i, vocab, eos_bias) for i in range(3)]
    texts = search(tables, beams, max_length, penalty, early_stopping=stop, num_texts=beams)
    for table, found in zip(tables, texts, strict=True):
        wanted = naive(table, beams, max_length, penalty, stop)
        agrees(found, wanted)
        assert len([score for _, _, score in found if score > -np.inf]) == min(beams, len(wanted))


@given(seed=st.integers(0, 10_000), penalty=st.sampled_from([0.0, 1.0]))
def test_one_beam_is_greedy(seed, penalty):
    table, max_length, text = Table(seed, 5), 8, ()
    while EOS not in text and len(text) < max_length - 1:
        text += (int(table.logits(text).argmax()),)
    score = table.total(text) / len(text) ** penalty
    ended = text if EOS in text else (*text, EOS)
    for method in (
        BeamSearch(limits(max_length), 1, penalty),
        Greedy(limits(max_length), penalty),
    ):
        (found,) = generated([table], method)[0]
        agrees(found, [(score, ended)])


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 1.5])
def test_with_enough_beams_it_finds_the_best_text(penalty):
    max_length = 5
    tables = [Table(seed, 3, sharpness=2.0) for seed in range(12)]
    for table, found in zip(tables, search(tables, 40, max_length, penalty), strict=True):
        scores = {y: table.total(y) / len(y) ** penalty for y in every_text([0, 2], max_length)}
        best = max(scores, key=scores.__getitem__)
        agrees(found, [(scores[best], best)])


@given(seed=st.integers(0, 10_000), beams=st.integers(1, 4))
def test_log_probabilities_are_those_of_the_model(seed, beams):
    table = Table(seed, 5)
    for text, log_probs, score in search([table], beams, 8, num_texts=beams)[0]:
        if score == -np.inf:
            continue
        last = len(text) if len(text) < 8 else 7  # the end of a text that is cut off is not chosen
        wanted = [table.log_probabilities(text[:i])[token] for i, token in enumerate(text[:last])]
        np.testing.assert_allclose(log_probs[:last], wanted, atol=1e-5)
        assert score == pytest.approx(sum(wanted) / last, abs=1e-5)


@given(
    seed=st.integers(0, 10_000),
    groups=st.integers(2, 3),
    size=st.integers(1, 2),
    cost=st.sampled_from([0.0, 0.5, 5.0]),
)
def test_diverse_beam_search(seed, groups, size, cost):
    """Groups one after the other; a token costs more for each earlier beam that has chosen it."""
    table, max_length = Table(seed, 6), 7
    found = search(
        [table, Table(seed + 1, 6)],
        groups * size,
        max_length,
        groups=groups,
        diversity_penalty=cost,
        num_texts=groups * size,
    )[0]
    wanted = diverse(table, groups, size, max_length, cost)
    assert [text for text, _, score in found if score > -np.inf] == [y for _, y in wanted]
    np.testing.assert_allclose(
        [x for *_, x in found][: len(wanted)], [x for x, _ in wanted], atol=1e-5
    )


def diverse(table, groups, size, max_length, cost):
    alive = [[(0.0, ())] for _ in range(groups)]
    ended, done = [[] for _ in range(groups)], [False] * groups
    for length in range(1, max_length):
        chosen = []
        for g in range(groups):
            candidates = [
                (total + log_p - cost * chosen.count(token), (*tokens, token))
                for total, tokens in alive[g]
                for token, log_p in enumerate(table.log_probabilities(tokens))
            ]
            candidates = sorted(candidates, reverse=True)[: 2 * size]
            alive[g] = [(x, y) for x, y in candidates if y[-1] != EOS][:size]
            chosen += [y[-1] for _, y in alive[g]]
            if done[g]:
                continue
            ended[g] += [(x / length, y) for x, y in candidates[:size] if y[-1] == EOS]
            ended[g] = sorted(ended[g], reverse=True)[:size]
            done[g] = len(ended[g]) == size and ended[g][-1][0] >= alive[g][0][0] / length
        if all(done):
            break
    finished = sorted((x for group in ended for x in group), reverse=True)
    rest = [(x / length, (*y, EOS)) for group in alive for x, y in group]
    return [*finished, *sorted(rest, reverse=True)][: groups * size]


def test_without_a_penalty_all_groups_are_equal():
    table = Table(3, 6)
    apart = search([table], 2, 8, num_texts=2)[0]
    together = search([table], 6, 8, groups=3, num_texts=6)[0]
    assert sorted(text for text, *_ in together) == sorted(text for text, *_ in apart * 3)
