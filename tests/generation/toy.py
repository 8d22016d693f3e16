"""Language models that are tables, and a decoder that reads them as one with a cache would."""

import itertools
import math

import numpy as np
import torch

from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.search import search

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
        return log_softmax(self.logits(prefix))

    def total(self, tokens):
        """Log-probability of a text."""
        return sum(self.log_probabilities(tokens[:i])[token] for i, token in enumerate(tokens))


def log_softmax(x):
    x = np.asarray(x, dtype=float)
    highest = x.max()
    return x - highest - math.log(np.exp(x - highest).sum())


class Inputs(list):
    """Tables as the contexts of inputs."""

    def select(self, inputs):
        return Inputs(self[i] for i in inputs.tolist())


class State:
    """The past of each row, with the positions at which its tokens were read."""

    def __init__(self, tables, beams, takes=True):
        self.tables, self.beams, self.takes = list(tables), beams, takes
        self.can_replace = takes is not None
        self.past = [[] for _ in range(len(self.tables) * beams)]

    def reorder(self, rows, length):
        assert all(i // self.beams == row // self.beams for i, row in enumerate(rows.tolist()))
        self.past = [list(self.past[row]) for row in rows.tolist()]

    def keep(self, inputs, beams):
        assert beams == self.beams
        assert 0 < len(inputs) < len(self.tables)
        self.past = [self.past[i * beams + j] for i in inputs.tolist() for j in range(beams)]
        self.tables = [self.tables[i] for i in inputs.tolist()]

    def replace(self, inputs, other, position):
        if not self.takes:
            return False
        for own, new in enumerate(inputs.tolist()):
            self.tables[new] = other.tables[own]
            for j in range(self.beams):
                self.past[new * self.beams + j] = []
        return True


class Toy:
    """A decoder whose hidden states are the logits; records how many rows each step has."""

    def __init__(self, takes=True):
        self.takes, self.sizes = takes, []

    def start(self, context, beams, length):
        return State(context, beams, self.takes)

    def step(self, tokens, state, position):
        assert tokens.shape == (len(state.tables), state.beams)
        self.sizes.append(len(tokens))
        for past, token in zip(state.past, tokens.flatten().tolist(), strict=True):
            past.append(token)
        rows = [
            state.tables[i // state.beams].logits(past[1:]) for i, past in enumerate(state.past)
        ]
        return torch.tensor(np.array(rows)).view(*tokens.shape, -1)

    def logits(self, hidden):
        return hidden


def limits(max_length):
    return Limits(BOS, EOS, max_length)


def generated(tables, method, capacity=None, keys=None, sizes=None, takes=True):
    """The texts of every input with their scores, best first, without what follows EOS."""
    keys = torch.arange(len(tables)) if keys is None else keys
    decoder, source, start = Toy(takes), [], 0
    for size in sizes or [len(tables)]:
        part = slice(start, start + size)
        source.append((Inputs(tables[part]), keys[part]))
        start += size
    found = {}
    for numbers, texts in search(decoder, source, method, capacity):
        rows = zip(texts.tokens, texts.scores, texts.log_probs, strict=True)
        for i, (tokens, scores, log_probs) in zip(numbers.tolist(), rows, strict=True):
            assert i not in found
            found[i] = [
                (*cut(text, method.limits.max_length, log_prob), float(score))
                for text, score, log_prob in zip(
                    tokens.tolist(), scores, log_probs.tolist(), strict=True
                )
            ]
    assert sorted(found) == list(range(len(tables)))
    return [found[i] for i in range(len(tables))], decoder


def cut(tokens, max_length, log_probs):
    """Up to the EOS; all behind it is EOS too, and has no probability."""
    assert len(tokens) == len(log_probs) == max_length
    end = tokens.index(EOS) + 1
    assert set(tokens[end:]) <= {EOS}
    return tuple(tokens[:end]), log_probs[:end]


def every_text(words, max_length):
    return [
        (*begun, EOS)
        for length in range(max_length - 1)
        for begun in itertools.product(words, repeat=length)
    ]
