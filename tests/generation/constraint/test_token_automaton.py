"""Automata over tokens: breadth-first search is the reference."""

import numpy as np
import pytest

from mmtx_cli.generation.constraint.regex import compiled
from mmtx_cli.generation.constraint.token_automaton import FAR, TokenAutomaton
from mmtx_cli.generation.constraint.vocabulary import token_bytes
from tests.generation.constraint.words import byte_level, sentencepiece

CASES = ["(?s).*dog.*", r"\d{3} dogs", "yes|no|not now", "狗*", "(?s).*ü(?:a|é).*", "a{7}"]


def walked(automaton, state, content):
    for byte in content:
        state = automaton.table[state, byte]
    return int(state)


@pytest.mark.parametrize("pattern", CASES)
@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_tokens_lead_where_their_bytes_lead(pattern, make):
    tokens = token_bytes(make())
    automaton = compiled(pattern)
    found = TokenAutomaton(automaton, tokens)
    for state in range(len(automaton.table)):
        wanted = {
            i: end
            for i, content in enumerate(tokens)
            if content and (end := walked(automaton, state, content))
        }
        following = found.following(state)
        assert dict(zip(following.tokens.tolist(), following.states.tolist(), strict=True)) == (
            wanted
        )
        assert (following.distance == found.distance[following.states]).all()
        for token in (*list(wanted)[:3], 0):
            assert found.next_state(state, token) == wanted.get(token, 0)


@pytest.mark.parametrize("pattern", CASES)
@pytest.mark.parametrize("make", [byte_level, sentencepiece])
def test_number_of_tokens_up_to_the_end(pattern, make):
    tokens = token_bytes(make())
    automaton = compiled(pattern)
    found = TokenAutomaton(automaton, tokens)
    reached, steps = {automaton.start}, 0
    while not any(automaton.accepting[state] for state in reached):
        steps += 1
        reached = {
            end
            for state in reached
            for content in tokens
            if content and (end := walked(automaton, state, content))
        }
    assert found.distance[automaton.start] == steps
    # from every state that can be completed, a token leads closer to the end
    for state in np.flatnonzero((found.distance > 0) & (found.distance < FAR)):
        assert found.following(int(state)).distance.min() < found.distance[state]


def test_a_text_that_cannot_be_spelled():
    tokens = [
        content and (content if content != b"z" else None) for content in token_bytes(byte_level())
    ]
    assert TokenAutomaton(compiled("a*z"), tokens).distance.max() == FAR
    assert TokenAutomaton(compiled("a*b"), tokens).distance[1] < FAR
