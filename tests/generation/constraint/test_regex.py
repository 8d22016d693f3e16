"""Regular expressions as automata: Python's ``re`` is the reference."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.generation.constraint.byte_automaton import TooManyStatesError
from mmtx_cli.generation.constraint.regex import InvalidRegexError, compiled, compiled_safely

PATTERNS = [
    "",
    "a",
    "(ab|a)(c|bcd)?",
    "(a|ab)(c|bcd)(d*)",
    "é+|ü",
    "(yes|no|maybe)",
    r"\d{1,3} dogs?",
    "[a-c]*?x?",
    "(?:a|b)*abb",
    ".*[^a]",
    "(?i)straße|DOG",
    "[^é]{2,3}",
]
letters = st.text("abcdxéüyesno 31中.—ßDOG", max_size=6)
like = st.sampled_from([p for p in PATTERNS if p]).flatmap(
    lambda p: st.from_regex(p, fullmatch=True)
)
texts = letters | like.filter(lambda text: "\n" not in text and "\0" not in text and len(text) < 40)


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=texts)
def test_matches_as_a_whole(pattern, text):
    automaton, wanted = compiled(pattern), bool(re.fullmatch(pattern, text))
    assert automaton.accepts(text) == wanted
    assert automaton.complement().reduced().accepts(text) != wanted


@given(first=st.sampled_from(PATTERNS), second=st.sampled_from(PATTERNS), text=texts)
def test_both(first, second, text):
    both = compiled(first) & compiled(second)
    wanted = bool(re.fullmatch(first, text)) and bool(re.fullmatch(second, text))
    assert both.accepts(text) == wanted
    assert both.accepts(text) == (compiled(second) & compiled(first)).accepts(text)


def test_an_empty_language():
    assert (compiled("a+") & compiled("b+")).empty
    assert not (compiled("a*") & compiled("b*")).empty


@pytest.mark.parametrize(
    ("pattern", "states"), [("(?:a|b)*abb", 4), ("a{5}", 6), ("(?:ab|cb|db)*", 2), ("é|è", 3)]
)
def test_as_few_states_as_possible(pattern, states):
    automaton = compiled(pattern)
    reached = {automaton.start}
    while new := set(automaton.table[sorted(reached)].ravel().tolist()) - reached:
        reached |= new
    assert len(reached) == states + 1, "and the dead one"


@pytest.mark.parametrize("required", [True, False])
def test_a_space_before_the_text(required):
    automaton = compiled("(?:aa|b)?").after_space(required)
    assert automaton.accepts(" aa")
    assert automaton.accepts("b") != required
    assert automaton.accepts("")
    assert not automaton.accepts("  b")
    assert not automaton.accepts("b b")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("^dog$", "without the anchors"),
        (r"\bdog", "without the anchors"),
        ("(", "not a valid expression"),
        ("a)|(b", "not a valid expression"),
        ("(?=a)b", "look-around"),
        ("a\\", "not a valid expression"),
    ],
)
def test_an_invalid_expression(pattern, reason):
    with pytest.raises(InvalidRegexError, match=reason):
        compiled_safely(pattern)


@pytest.mark.parametrize("pattern", [r"(?s).*a.{20}", "(a{1000}){1000}"])
def test_a_short_expression_may_need_any_memory(pattern, monkeypatch):
    monkeypatch.setattr("mmtx_cli.generation.constraint.regex.SECONDS", 3.0)
    with pytest.raises(TooManyStatesError):
        compiled_safely(pattern)


def test_another_process_compiles_the_same():
    here, there = compiled("(ab|a)(c|bcd)?"), compiled_safely("(ab|a)(c|bcd)?")
    assert (here.table == there.table).all()
    assert (here.accepting == there.accepting).all()
    assert here.start == there.start
