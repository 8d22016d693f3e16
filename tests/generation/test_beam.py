import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.generation.beam import beam_search

BOS, EOS = 0, 1


class Table:
    """A language model that is a table: random logits for every prefix, whatever the batch."""

    def __init__(self, seed, vocab, eos_bias=0.0, sharpness=1.0):
        self.seed, self.vocab = seed, vocab
        self.eos_bias, self.sharpness = eos_bias, sharpness

    def logits(self, prefix):
        random = np.random.default_rng([self.seed, *(token + 1 for token in prefix)])
        x = self.sharpness * random.normal(size=self.vocab)
        x[EOS] += self.eos_bias
        return x

    def log_probabilities(self, prefix):
        x = self.logits(prefix)
        return x - x.max() - math.log(np.exp(x - x.max()).sum())


class Decoder:
    """Steps through tables as a decoder with a cache would: each beam row keeps its own past."""

    def __init__(self, tables, beams):
        self.tables, self.beams = tables, beams
        self.past = [() for _ in range(len(tables) * beams)]

    def step(self, tokens, position):
        assert tokens.shape == (len(self.tables), self.beams)
        prefixes = [past[:position] for past in self.past]
        self.past = [(*past, int(t)) for past, t in zip(prefixes, tokens.flatten(), strict=True)]
        rows = [self.tables[i // self.beams].logits(past[1:]) for i, past in enumerate(self.past)]
        return torch.tensor(np.array(rows)).view(*tokens.shape, -1)

    def reorder(self, rows, length):
        self.past = [self.past[row][:length] for row in rows.tolist()]

    def keep(self, inputs, beams):
        assert beams == self.beams
        assert 0 < len(inputs) < len(self.tables)
        self.tables = [self.tables[i] for i in inputs.tolist()]
        self.past = [self.past[i * beams + j] for i in inputs.tolist() for j in range(beams)]


def search(tables, beams, max_length, penalty=1.0):
    """Hypotheses without what follows their EOS, and their scores."""
    decoder = Decoder(tables, beams)
    tokens, scores = beam_search(
        decoder.step,
        decoder,
        len(tables),
        beams,
        max_length,
        BOS,
        EOS,
        penalty,
        torch.device("cpu"),
    )
    assert tokens.shape == (len(tables), max_length)
    return [(cut(row), float(score)) for row, score in zip(tokens.tolist(), scores, strict=True)]


def cut(tokens):
    """Up to the EOS; all behind it is EOS too."""
    end = tokens.index(EOS) + 1
    assert set(tokens[end:]) <= {EOS}
    return tuple(tokens[:end])


def naive(table, beams, max_length, penalty):
    """Beam search in plain Python lists, one input at a time (Wu et al. 2016, section 7)."""
    alive, ended = [(0.0, ())], []
    for length in range(1, max_length):
        candidates = [
            (total + log_p, (*tokens, token))
            for total, tokens in alive
            for token, log_p in enumerate(table.log_probabilities(tokens))
        ]
        candidates = sorted(candidates, reverse=True)[: 2 * beams]
        ended += [(x / length**penalty, y) for x, y in candidates[:beams] if y[-1] == EOS]
        ended = sorted(ended, reverse=True)[:beams]
        alive = [(x, y) for x, y in candidates if y[-1] != EOS][:beams]
        if len(ended) == beams and ended[-1][0] >= alive[0][0] / length**penalty:
            break
    if not ended:
        ended = [(x / length**penalty, (*y, EOS)) for x, y in alive]
    score, tokens = ended[0]
    return tokens, score


def total(table, tokens):
    """Log-probability of a hypothesis."""
    return sum(table.log_probabilities(tokens[:i])[token] for i, token in enumerate(tokens))


def agrees(found, wanted):
    assert found[0] == wanted[0]
    assert found[1] == pytest.approx(wanted[1], abs=1e-5)


@given(
    seed=st.integers(0, 10_000),
    vocab=st.integers(2, 7),
    beams=st.integers(1, 4),
    max_length=st.integers(2, 9),
    penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
    eos_bias=st.sampled_from([-4.0, 0.0, 2.0]),
)
def test_finds_what_plain_beam_search_finds(seed, vocab, beams, max_length, penalty, eos_bias):
    tables = [Table(seed + i, vocab, eos_bias) for i in range(3)]
    for table, found in zip(tables, search(tables, beams, max_length, penalty), strict=True):
        agrees(found, naive(table, beams, max_length, penalty))


@given(seed=st.integers(0, 10_000), penalty=st.sampled_from([0.0, 1.0]))
def test_one_beam_is_greedy(seed, penalty):
    table, max_length, messages = Table(seed, 5), 8, ()
    while EOS not in messages and len(messages) < max_length - 1:
        messages += (int(table.logits(messages).argmax()),)
    score = total(table, messages) / len(messages) ** penalty
    ended = messages if EOS in messages else (*messages, EOS)
    agrees(search([table], 1, max_length, penalty)[0], (ended, score))


@pytest.mark.parametrize("penalty", [0.0, 0.7, 1.0, 1.5])
def test_with_enough_beams_it_finds_the_best_there_is(penalty):
    max_length, words = 5, [0, 2]
    tables = [Table(seed, 3, sharpness=2.0) for seed in range(12)]
    found = search(tables, 40, max_length, penalty)
    for table, (tokens, score) in zip(tables, found, strict=True):
        every = [
            (*begun, EOS)
            for length in range(max_length - 1)
            for begun in itertools.product(words, repeat=length)
        ]
        scores = {y: total(table, y) / len(y) ** penalty for y in every}
        best = max(scores, key=scores.__getitem__)
        agrees((tokens, score), (best, scores[best]))


@pytest.mark.parametrize("beams", [1, 2, 3, 4])
def test_batch_mates_do_not_matter(beams):
    tables = [Table(seed, 6, eos_bias=bias) for seed, bias in enumerate([3, -6, 0, 1, -6, 3])]
    together = search(tables, beams, 8)
    for i, table in enumerate(tables):
        agrees(search([table], beams, 8)[0], together[i])


@pytest.mark.parametrize("beams", [1, 3])
def test_what_never_ends_counts_as_it_stands(beams):
    table = Table(3, 5, eos_bias=-math.inf)
    (tokens, score), *_ = search([table, Table(4, 5)], beams, 6)
    assert len(tokens) == 6
    assert score == pytest.approx(total(table, tokens[:-1]) / 5, abs=1e-5)


@pytest.mark.parametrize("beams", [1, 3])
def test_an_empty_hypothesis_may_win(beams):
    assert search([Table(0, 5, eos_bias=50.0)], beams, 6) == [((EOS,), pytest.approx(0, abs=1e-5))]


@pytest.mark.parametrize("beams", [1, 2, 4])
def test_only_one_way_to_go(beams):
    """Fewer words than beams, and no choice at all."""

    def step(tokens, position):
        logits = torch.full((*tokens.shape, 3), -torch.inf)
        logits[..., EOS if position == 3 else 2] = 0.0
        return logits

    tokens, scores = beam_search(
        step, Decoder([None] * 2, beams), 2, beams, 8, BOS, EOS, 1.0, torch.device("cpu")
    )
    assert [cut(row) for row in tokens.tolist()] == [(2, 2, 2, EOS)] * 2
    assert scores.tolist() == [0.0, 0.0]
