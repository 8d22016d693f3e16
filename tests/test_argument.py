import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.argument import argument, as_written
from mmtx_cli.override import override_faults

TEXT = st.text(
    st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("'\\\"$={}[],#~ "), min_size=1
)


def value_of(arg):
    return OverridesParser.create().parse_override(arg).value()


@given(TEXT)
def test_what_is_printed_is_read_back(text):
    (word,) = shlex.split(argument("key", text))
    found = value_of(word)
    assert isinstance(found, str)
    assert found.replace("\\$", "$") == text.replace("\\$", "$")  # Hydra's own escape


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("/data/run 1", "\"run_dir='/data/run 1'\""),
        ("/data/run_1.2", "run_dir=/data/run_1.2"),
        ("true", "\"run_dir='true'\""),
        ("12", "\"run_dir='12'\""),
        ("größe", "\"run_dir='größe'\""),
    ],
)
def test_quotes_only_where_they_are_needed(value, written):
    word = argument("run_dir", value)
    assert shlex.split(word) == shlex.split(written)
    assert ("'" in word) == ("'" in written)


@pytest.mark.parametrize(
    "value",
    [
        "données.jsonl",
        "照片.png",
        "größer",
        "a#1.csv",
        "it's.jsonl",
        "a(1).mp4",
        "x&y;z!",
        "🎬.mp4",
    ],
)
def test_a_plain_text_in_any_script_is_taken_as_it_is(value):
    assert value_of(as_written(f"text={value}")) == value


@pytest.mark.parametrize(
    "arg",
    [
        "a=1",
        "a=b",
        "a=[x,y]",
        "a={x: 1}",
        "a=x,y",
        "a='é'",
        'a="é"',
        "a=${b}",
        "a=",
        "~a",
        "a=null",
    ],
)
def test_what_has_a_meaning_keeps_it(arg):
    assert as_written(arg) == arg


def test_of_a_list_the_sign_that_needs_quotes_is_named():
    (fault,) = override_faults("inputs=[a.png,données.png]", "caption", [])
    assert "'é' needs quotes around the text that it is in" in fault
