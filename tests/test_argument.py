import shlex
import subprocess

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
        ("/data/run 1", "'run_dir=\"/data/run 1\"'"),
        ("/data/run_1.2", "run_dir=/data/run_1.2"),
        ("true", "'run_dir=\"true\"'"),
        ("12", "'run_dir=\"12\"'"),
        ("größe", "'run_dir=\"größe\"'"),
    ],
)
def test_quotes_only_where_they_are_needed(value, written):
    assert argument("run_dir", value) == written


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


PATHS = [
    ("/d/a [1].jpg", "'[' and ']' need quotes"),
    ("photo {a}.jpg", "'{' and '}' need quotes"),
    ("a#b,[c].jpg", "',' and '[' and ']' need quotes"),
    ('a "b".jpg', "'\"' needs quotes"),
    ("it's [é] \\x.jpg", "\"'\" and '[' and ']' need quotes"),
]


@pytest.mark.parametrize(("path", "message"), PATHS)
def test_the_signs_that_need_quotes_are_named_and_the_argument_can_be_pasted(path, message):
    (fault,) = override_faults(f"data.path={path}", "finetune", [])
    assert message in fault
    assert value_of(pasted(fault.rpartition("write ")[2])) == path


def pasted(words):
    """The one argument that bash makes of these words."""
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True
    )
    (arg,) = done.stdout.splitlines()
    return arg


@pytest.mark.parametrize(
    ("value", "message", "items"),
    [
        ("[a.png,données.png]", "'é' needs quotes", ["a.png", "données.png"]),
        ("[a.png,b (1).png]", "'(' and ')' need quotes", ["a.png", "b (1).png"]),
        ('["a,b.png", c [1].png]', "'[' and ']' need quotes", ["a,b.png", "c [1].png"]),
        ("[a=b.png]", "'=' needs quotes", ["a=b.png"]),
    ],
)
def test_of_a_list_only_the_items_are_quoted_that_need_it(value, message, items):
    (fault,) = override_faults(f"inputs={value}", "caption", [])
    assert message in fault
    assert value_of(pasted(fault.rpartition("write ")[2])) == items


@pytest.mark.parametrize("value", ["[a.jpg", "a].jpg", "{a: 1", 'a".jpg'])
def test_what_is_not_closed(value):
    (fault,) = override_faults(f"inputs={value}", "caption", [])
    assert "close brackets and quotes, or, if it is a text, write " in fault
    assert value_of(pasted(fault.rpartition("write ")[2])) == value


def test_of_a_mapping_the_sign_is_named():
    (fault,) = override_faults("data.split={train: 0.8; val: 0.2}", "finetune", [])
    assert "the value cannot be read; ';' needs quotes around the text" in fault


def test_several_values_can_be_pasted_as_a_list_or_a_text():
    (fault,) = override_faults("inputs=a b.jpg,c.jpg", "caption", [])
    listed, text = (
        fault.partition("write ")[2].removesuffix(" for a text").split(" for a list, or ")
    )
    assert value_of(pasted(listed)) == ["a b.jpg", "c.jpg"]
    assert value_of(pasted(text)) == "a b.jpg,c.jpg"


def test_a_key_that_cannot_be_read():
    (fault,) = override_faults("data.path =a.jsonl", "finetune", [])
    assert "the key cannot be read; write key=value" in fault
