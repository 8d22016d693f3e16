import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.generation.beam import BeamSearch
from mmtx_cli.generation.contrastive import ContrastiveSearch
from mmtx_cli.generation.rowwise import Greedy
from mmtx_cli.generation.rules import (
    MinLength,
    NoRepeatNgram,
    RepetitionPenalty,
    apply,
)
from tests.generation.toy import EOS, Table, generated, limits

VOCAB, LONGEST = 6, 9


def peer(rule):
    """The same rule of transformers, for texts of one length."""
    processors = pytest.importorskip("transformers.generation.logits_process")
    match rule:
        case RepetitionPenalty():
            return processors.RepetitionPenaltyLogitsProcessor(rule.penalty)
        case NoRepeatNgram():
            return processors.NoRepeatNGramLogitsProcessor(rule.size)
        case MinLength():
            return processors.MinNewTokensLengthLogitsProcessor(0, rule.count, EOS, device="cpu")


@pytest.mark.parametrize(
    "rule",
    [
        RepetitionPenalty(1.7),
        RepetitionPenalty(0.6),
        *map(NoRepeatNgram, range(1, 5)),
        MinLength(4, EOS),
    ],
    ids=lambda rule: f"{type(rule).__name__} {next(iter(vars(rule).values()))}",
)
@given(
    seed=st.integers(0, 10_000),
    lengths=st.lists(st.integers(0, LONGEST - 1), min_size=3, max_size=3),
)
def test_is_the_rule_of_transformers(rule, seed, lengths):
    random = torch.Generator().manual_seed(seed)
    scores = torch.randn(3, 2, VOCAB, generator=random)
    tokens = torch.randint(VOCAB, (3, 2, LONGEST), generator=random)
    before = scores.clone()
    found = apply([rule], scores, tokens, torch.tensor(lengths))
    assert torch.equal(scores, before)
    for i, length in enumerate(lengths):
        wanted = peer(rule)(tokens[i, :, :length], scores[i].clone())
        torch.testing.assert_close(found[i], wanted)


@given(seed=st.integers(0, 10_000), n=st.integers(1, 3), beams=st.integers(1, 3))
def test_no_ngram_occurs_twice(seed, n, beams):
    own = [NoRepeatNgram(n), MinLength(3, EOS)]
    method = BeamSearch(limits(LONGEST), beams, rules=own, num_texts=beams)
    tables = [Table(seed + i, VOCAB, sharpness=3.0) for i in range(2)]
    for found in generated(tables, method)[0]:
        for text, _, score in found:
            if score == -torch.inf:
                continue
            words = text[:-1]
            grams = [words[i : i + n] for i in range(len(words) - n + 1)]
            assert len(grams) == len({*grams})
            assert len(words) >= 3


class Nothing:
    """Forbids all tokens after two."""

    def __call__(self, scores, tokens, length):
        return scores.masked_fill((length >= 2)[:, None, None], -torch.inf)


@pytest.mark.parametrize(
    "method",
    [
        lambda rules: Greedy(limits(LONGEST), rules=rules),
        lambda rules: BeamSearch(limits(LONGEST), 2, rules=rules),
        lambda rules: ContrastiveSearch(limits(LONGEST), 0.5, rules=rules),
    ],
)
def test_where_nothing_is_allowed_there_is_no_score(method):
    (((_, _, score),),), _ = generated([Table(0, VOCAB, eos_bias=-9.0)], method([Nothing()]))
    assert score == -torch.inf
