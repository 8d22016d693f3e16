"""Constraints hold in every generated text, whatever the model and the search."""

import dataclasses
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.errors import ConfigError
from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.constraint.language import NOT_IN_WORDS
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.make import make_method
from mmtx_cli.generation.search import search
from tests.generation.constraint.words import (
    byte_level,
    has,
    has_clearly,
    sentencepiece,
    wordpiece,
)
from tests.generation.toy import Inputs, Table, Toy

SEARCHES = {
    "greedy": {"num_beams": 1},
    "beam": {"num_beams": 3, "num_return_sequences": 3},
    "default": {},
    "early": {"num_beams": 4, "early_stopping": True},
    "diverse": {"num_beams": 4, "num_beam_groups": 2, "diversity_penalty": 0.5},
    "sampling": {"do_sample": True, "num_return_sequences": 2},
    "nucleus": {"do_sample": True, "top_k": 5, "top_p": 0.7, "min_p": 0.1},
    "contrastive": {"penalty_alpha": 0.4, "top_k": 3},
    "rules": {"num_beams": 2, "no_repeat_ngram_size": 1, "repetition_penalty": 3.0},
}
PHRASES = ["dog", "red ball", "café", "3", "books!", "狗", "Straße", "a", "the woman"]
phrases = st.lists(st.sampled_from(PHRASES), max_size=2, unique=True)


class Model(Table):
    """Random logits, of which some sequences are much more probable than others."""

    def logits(self, prefix):
        random = np.random.default_rng([self.seed, len(prefix), *(t + 1 for t in prefix[-2:])])
        x = random.normal(size=self.vocab) * self.sharpness
        x[self.end] += self.eos_bias
        return x


def texts_of(constraint, own, tokenizer, steps, seed=0, inputs=2):
    """The texts of some inputs, the best first."""
    eos = tokenizer.token_to_id("[EOS]") or tokenizer.token_to_id("</s>") or 2
    limits = Limits(eos, eos, steps + 1)
    method = make_method(own, limits, constraint)
    tables = [Model(seed + i, tokenizer.get_vocab_size(), 3.0, 3.0) for i in range(inputs)]
    for table in tables:
        table.end = eos
    found = []
    for _, texts in search(Toy(), [(Inputs(tables), torch.arange(inputs))], method):
        for row, scores in zip(texts.tokens.tolist(), texts.scores.tolist(), strict=True):
            for tokens, score in zip(row, scores, strict=True):
                if score > -np.inf:
                    assert eos in tokens[:steps], "the text ends"
                    tokens = tokens[: tokens.index(eos)]
                    found.append(tokenizer.decode(tokens, skip_special_tokens=True).strip())
    assert len(found) >= inputs
    return found


def check_hold(search_name, include, exclude, spare, seed, make=byte_level):
    """Generate texts with required and forbidden phrases, and check them."""
    tokenizer = make()
    own = GenerationSettings(include=include, exclude=exclude, **SEARCHES[search_name])
    if any(has(phrase, other) for phrase in exclude for other in include):
        return
    if not (include or exclude):
        return
    constraint = Constraint(own, tokenizer)
    for text in texts_of(constraint, own, tokenizer, constraint.shortest + spare, seed):
        assert all(has(phrase, text) for phrase in include), text
        assert not any(has_clearly(phrase, text) for phrase in exclude), text
        assert not constraint.unmet(text)


@pytest.mark.parametrize("name", SEARCHES)
@given(include=phrases, exclude=phrases, spare=st.integers(0, 12), seed=st.integers(0, 10_000))
@settings(max_examples=12, deadline=None)
def test_required_and_forbidden_phrases(name, include, exclude, spare, seed):
    check_hold(name, include, exclude, spare, seed)


@pytest.mark.slow
@given(
    name=st.sampled_from(list(SEARCHES)),
    include=phrases,
    exclude=phrases,
    spare=st.integers(0, 12),
    seed=st.integers(0, 10_000),
    make=st.sampled_from([byte_level, sentencepiece]),
)
@settings(max_examples=10_000, deadline=None)
def test_constraints_hold_in_ten_thousand_of_ten_thousand(
    name, include, exclude, spare, seed, make
):
    check_hold(name, include, exclude, spare, seed, make)


@pytest.mark.parametrize("make", [byte_level, sentencepiece, wordpiece])
@pytest.mark.parametrize("name", SEARCHES)
def test_one_of_several_answers(make, name):
    answers = ["yes", "no", "not now"]
    own = GenerationSettings(choices=answers, **SEARCHES[name])
    constraint = Constraint(own, make())
    found = [
        text for seed in range(0, 24, 2) for text in texts_of(constraint, own, make(), 12, seed)
    ]
    assert set(found) <= set(answers)
    assert len(set(found)) > 1


def test_the_most_probable_answer():
    tokenizer = byte_level()
    answers = ["yes", "no", "not now", "3 books", "a dog"]
    own = GenerationSettings(choices=answers, num_beams=256, length_penalty=0.0)
    constraint = Constraint(own, tokenizer)
    eos = tokenizer.token_to_id("[EOS]")
    for seed in range(8):
        table = Model(seed, tokenizer.get_vocab_size(), 0.0, 2.0)
        table.end = eos
        best = max(
            ((*tokens, eos) for answer in answers for tokens in spellings(tokenizer, answer)),
            key=table.total,
        )
        method = make_method(own, Limits(eos, eos, 16), constraint)
        ((_, texts),) = search(Toy(), [(Inputs([table]), torch.zeros(1, dtype=torch.long))], method)
        found = tuple(texts.tokens[0, 0].tolist())
        assert float(texts.scores[0, 0]) == pytest.approx(table.total(best), abs=1e-4)
        assert found[: len(best)] == best


def spellings(tokenizer, text):
    """Every sequence of tokens of a text, with or without the space before it."""
    vocab = {
        tokenizer.decode([i]): i for i in range(tokenizer.get_vocab_size()) if tokenizer.decode([i])
    }

    def split(rest):
        if not rest:
            yield ()
        for end in range(1, len(rest) + 1):
            if rest[:end] in vocab:
                yield from ((vocab[rest[:end]], *others) for others in split(rest[end:]))

    return [*split(text), *split(f" {text}")]


@pytest.mark.parametrize("name", ["greedy", "beam", "sampling"])
@pytest.mark.parametrize(
    ("keys", "pattern"),
    [
        ({"regex": r"a \w+ (dog|cat)[.!]"}, r"a \w+ (dog|cat)[.!]"),
        ({"regex": r"\d{3} dogs"}, r"\d{3} dogs"),
        ({"prefix": "a man"}, r"a man(\W.*)?"),
        ({"prefix": "A man"}, r"a man(\W.*)?"),
        ({"prefix": "the woman:", "include": ["dog"]}, r"the woman:.*\bdog\b.*"),
        ({"regex": "[a-z ]+", "exclude": ["dog"], "include": ["red"]}, r"[a-z ]*\bred\b[a-z ]*"),
    ],
)
def test_expressions_and_prefixes(name, keys, pattern):
    own = GenerationSettings(**keys, **SEARCHES[name])
    constraint = Constraint(own, byte_level())
    for text in texts_of(constraint, own, byte_level(), constraint.shortest + 4):
        assert re.fullmatch(pattern, text, re.DOTALL), text
        assert not constraint.unmet(text)


def test_what_stands_between_words_is_no_part_of_one():
    between = re.compile(f"[{NOT_IN_WORDS}]")
    letters = [chr(c) for c in range(0x20000) if not 0xD800 <= c < 0xE000]
    for c in letters:
        assert not (between.match(c) and re.match(r"\w", c)), hex(ord(c))
    common = " \t.,;:!?'\"()-–—…“”‘’«»¡¿·%&/_"
    assert [c for c in common if not between.match(c)] == ["_"]


def test_what_a_text_does_not_satisfy():
    own = GenerationSettings(include=["dog", "ball"], exclude=["man"], prefix="a")
    constraint = Constraint(own, byte_level())
    assert constraint.unmet("a dog, a ball") == []
    assert constraint.unmet("a dogs and a man") == [
        "generation.include='dog'",
        "generation.include='ball'",
        "generation.exclude=['man']",
    ]
    assert constraint.unmet("ball dog") == ["generation.prefix='a'"]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"include": ["a dog"], "exclude": ["dog"]}, "generation.exclude=.'dog'.: no text .* with"),
        ({"choices": ["yes", "no"], "include": ["dog"]}, "no text satisfies it together with"),
        ({"regex": "[a-z]+", "prefix": "3"}, "no text satisfies it together with"),
        ({"regex": "^dog$"}, "generation.regex='.dog.': the whole text must match"),
        ({"regex": "(?s).*a.{24}"}, "too complex; use fewer or shorter"),
        ({"regex": r"\s+"}, "no text satisfies it"),
    ],
)
def test_constraints_without_a_text(keys, reason, monkeypatch):
    monkeypatch.setattr("mmtx_cli.generation.constraint.regex.SECONDS", 5.0)
    with pytest.raises(ConfigError, match=reason):
        Constraint(GenerationSettings(**keys), byte_level())


def test_a_phrase_that_cannot_be_spelled():
    own = GenerationSettings(include=["dog", "狗"])
    with pytest.raises(ConfigError, match=r"generation\.include='狗': the model's vocabulary"):
        Constraint(own, wordpiece_without("狗"))


def wordpiece_without(character):
    from tokenizers import Tokenizer, decoders, models

    vocab = {"[UNK]": 0, **{c: i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz", 1)}}
    vocab |= {f"##{c}": len(vocab) + i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz")}
    assert character not in vocab
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.decoder = decoders.WordPiece(cleanup=False)
    return backend


def test_too_few_tokens():
    own = GenerationSettings(include=["red ball", "café"], max_new_tokens=3)
    constraint = Constraint(own, byte_level())
    with pytest.raises(
        ConfigError, match=f"has at least {constraint.shortest} tokens, but at most 3"
    ):
        make_method(own, Limits(2, 3, 64), constraint)
    enough = dataclasses.replace(own, max_new_tokens=constraint.shortest)
    make_method(enough, Limits(2, 3, 64), constraint)


def test_required_words_are_found_before_the_space_runs_out():
    """Beams with the word compete with each other, not with texts that lack it."""
    own = GenerationSettings(include=["dog"], length_penalty=0.0)
    tokenizer = byte_level()
    constraint = Constraint(own, tokenizer)
    texts = texts_of(constraint, own, tokenizer, steps=40, inputs=8)
    assert all(has("dog", text) for text in texts)
    lengths = [len(tokenizer.encode(text).ids) for text in texts]
    assert np.mean(lengths) < 15, "not only where no other token fits"
