"""Without torch, the same texts with the same scores."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.counter_rng.bits import id_keys, seeded_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.generation.make import make_method
from mmtx_cli.generation.numpy.make import make_method as make_array_method
from mmtx_cli.generation.numpy.search import search
from tests.generation.toy import Table, cut, generated, limits

VOCAB = 7


class Arrays:
    """What ``toy.Toy`` is for torch; it records how many rows each step has."""

    def __init__(self, tables):
        self.tables, self.past, self.sizes = list(tables), None, []

    def step(self, tokens, rows):
        assert tokens.shape[0] == len(self.tables)
        assert len(rows) == tokens.size
        past = [[]] * tokens.size if self.past is None else [self.past[row] for row in rows]
        self.past = [
            [*text, token] for text, token in zip(past, tokens.ravel().tolist(), strict=True)
        ]
        self.sizes.append(len(tokens))
        owner = np.arange(tokens.size) // tokens.shape[1]
        found = [self.tables[i].logits(text[1:]) for i, text in zip(owner, self.past, strict=True)]
        return np.array(found, dtype=np.float32).reshape(*tokens.shape, -1)

    def keep(self, inputs):
        assert len(inputs) < len(self.tables)
        self.tables = [self.tables[i] for i in inputs]


def array_texts(tables, method, keys):
    """As ``toy.generated``."""
    decoder = Arrays(tables)
    texts = search(decoder, method, keys)
    found = [
        [
            (*cut(tokens, method.limits.max_length, log_prob), score)
            for tokens, score, log_prob in zip(*rows, strict=True)
        ]
        for rows in zip(
            texts.tokens.tolist(), texts.scores.tolist(), texts.log_probs.tolist(), strict=True
        )
    ]
    return found, decoder


def both(chosen, length, seed, count):
    """The texts by torch and by NumPy."""
    tables = [Table([seed, i], VOCAB, eos_bias=i % 3 - 1.0, sharpness=1.5) for i in range(count)]
    keys = seeded_keys(id_keys(map(str, range(count))), seed, 0)
    wanted, _ = generated(
        tables,
        make_method(chosen, limits(length)),
        keys=torch.from_numpy(keys.view(np.int64).copy()),
    )
    found, decoder = array_texts(tables, make_array_method(chosen, limits(length)), keys)
    return wanted, found, decoder


def same(wanted, found):
    assert len(found) == len(wanted)
    for mine, others in zip(found, wanted, strict=True):
        assert len(mine) == len(others)
        for (tokens, log_probs, score), (right, right_probs, right_score) in zip(
            mine, others, strict=True
        ):
            assert tokens == right
            np.testing.assert_allclose(score, right_score, rtol=1e-5)
            np.testing.assert_allclose(log_probs, right_probs, rtol=1e-5, atol=1e-6)


rules = {
    "repetition_penalty": st.sampled_from([1.0, 1.0, 1.3, 0.8]),
    "no_repeat_ngram_size": st.integers(0, 3),
    "min_new_tokens": st.integers(0, 4),
    "length_penalty": st.sampled_from([1.0, 0.0, 0.7, 2.0, -0.5]),
    "max_new_tokens": st.none() | st.integers(2, 9),
}


@settings(max_examples=60, deadline=None)
@given(
    chosen=st.fixed_dictionaries({**rules, "early_stopping": st.booleans()}),
    beams=st.integers(1, 4),
    texts=st.integers(1, 4),
    length=st.integers(2, 9),
    seed=st.integers(0, 2**30),
    count=st.integers(1, 5),
)
def test_beam_search_and_greedy(chosen, beams, texts, length, seed, count):
    own = {"num_beams": max(beams, texts), "num_return_sequences": texts}
    wanted, found, _ = both(GenerationSettings(**chosen, **own), length, seed, count)
    same(wanted, found)


@settings(max_examples=20, deadline=None)
@given(
    groups=st.integers(2, 3),
    size=st.integers(1, 2),
    penalty=st.sampled_from([0.0, 0.3, 2.0]),
    seed=st.integers(0, 2**30),
)
def test_diverse_beam_search(groups, size, penalty, seed):
    chosen = GenerationSettings(
        num_beams=groups * size,
        num_beam_groups=groups,
        diversity_penalty=penalty,
        num_return_sequences=groups,
    )
    same(*both(chosen, 7, seed, 3)[:2])


@settings(max_examples=40, deadline=None)
@given(
    chosen=st.fixed_dictionaries(
        {
            **rules,
            "temperature": st.sampled_from([0.5, 1.0, 1.7]),
            "top_k": st.none() | st.integers(1, VOCAB + 1),
            "top_p": st.none() | st.sampled_from([0.3, 0.8, 1.0]),
            "min_p": st.none() | st.sampled_from([0.05, 0.5]),
            "num_return_sequences": st.integers(1, 3),
        }
    ),
    seed=st.integers(0, 2**30),
)
def test_sampling_draws_the_same_numbers(chosen, seed):
    same(*both(GenerationSettings(do_sample=True, **chosen), 8, seed, 3)[:2])


def test_finished_inputs_leave_the_batch():
    tables = [Table([1, i], VOCAB, eos_bias=8.0 if i % 2 else -8.0) for i in range(6)]
    method = make_array_method(GenerationSettings(num_beams=2), limits(9))
    found, decoder = array_texts(tables, method, id_keys(map(str, range(6))))
    assert decoder.sizes[0] == 6
    assert decoder.sizes[-1] == 3
    alone = [array_texts([table], method, id_keys(["0"]))[0][0] for table in tables]
    assert [[text[0] for text in row] for row in found] == [
        [text[0] for text in row] for row in alone
    ]


def test_contrastive_search_is_refused():
    with pytest.raises(ConfigError, match=r"generation.penalty_alpha.*do_sample"):
        make_array_method(GenerationSettings(penalty_alpha=0.6), limits(9))
