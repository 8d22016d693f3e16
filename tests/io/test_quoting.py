import re
import shlex
import subprocess

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.config.composition.explain import override_faults
from mmtx_cli.io.quoting import argument, quoted_if_needed
from tests.messages import mentions

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
    assert value_of(quoted_if_needed(f"text={value}")) == value


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
    assert quoted_if_needed(arg) == arg


PATHS = [
    ("/d/a [1].jpg", ["'['", "']'"]),
    ("photo {a}.jpg", ["'{'", "'}'"]),
    ("a#b,[c].jpg", ["','", "'['", "']'"]),
    ('a "b".jpg', ["'\"'"]),
    ("it's [é] \\x.jpg", ['"\'"', "'['", "']'"]),
]


@pytest.mark.parametrize(("path", "signs"), PATHS)
def test_the_signs_that_need_quotes_are_named_and_the_argument_can_be_pasted(path, signs):
    (fault,) = override_faults(f"data.path={path}", "finetune", [])
    mentions(fault, f"data.path={path}: ", "quotes", *signs)
    assert value_of(pasted(offered(fault, "data.path"))) == path


def offered(fault, key):
    """What a message ends with: an argument to be pasted, which a shell's quotes enclose."""
    return fault[fault.rindex(f"'{key}=") :]


def pasted(words):
    """The one argument that bash makes of these words."""
    done = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {words}"], capture_output=True, text=True, check=True
    )
    (arg,) = done.stdout.splitlines()
    return arg


@pytest.mark.parametrize(
    ("value", "signs", "items"),
    [
        ("[a.png,données.png]", ["'é'"], ["a.png", "données.png"]),
        ("[a.png,b (1).png]", ["'('", "')'"], ["a.png", "b (1).png"]),
        ('["a,b.png", c [1].png]', ["'['", "']'"], ["a,b.png", "c [1].png"]),
        ("[a=b.png]", ["'='"], ["a=b.png"]),
    ],
)
def test_of_a_list_only_the_items_are_quoted_that_need_it(value, signs, items):
    (fault,) = override_faults(f"inputs={value}", "caption", [])
    mentions(fault, f"inputs={value}: ", "quotes", *signs)
    assert value_of(pasted(offered(fault, "inputs"))) == items


@pytest.mark.parametrize("value", ["[a.jpg", "a].jpg", "{a: 1", 'a".jpg'])
def test_what_is_not_closed(value):
    (fault,) = override_faults(f"inputs={value}", "caption", [])
    mentions(fault, f"inputs={value}: ", "close", "brackets", "quotes")
    assert value_of(pasted(offered(fault, "inputs"))) == value


def test_of_a_mapping_the_sign_is_named():
    (fault,) = override_faults("data.split={train: 0.8; val: 0.2}", "finetune", [])
    mentions(fault, "data.split={train: 0.8; val: 0.2}: ", "';'", "quotes")


def test_several_values_can_be_pasted_as_a_list_or_a_text():
    (fault,) = override_faults("inputs=a b.jpg,c.jpg", "caption", [])
    listed, text = re.findall(r"'inputs=[^']*'", fault)
    assert value_of(pasted(listed)) == ["a b.jpg", "c.jpg"]
    assert value_of(pasted(text)) == "a b.jpg,c.jpg"


def test_a_key_that_cannot_be_read():
    (fault,) = override_faults("data.path =a.jsonl", "finetune", [])
    mentions(fault, "data.path =a.jsonl: ", "key=value", "spaces")
