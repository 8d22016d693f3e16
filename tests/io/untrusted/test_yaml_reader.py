import os
import re
import time
import tracemalloc

import pytest
import yaml

from mmtx_cli.io.untrusted import yaml_reader
from mmtx_cli.io.untrusted.yaml_reader import (
    MAX_DEPTH,
    MAX_NODES,
    YamlTextError,
    load_yaml,
    read_yaml,
)
from tests.messages import raises


def chain(levels, first, one):
    """A text whose every line stands for several of the line before it."""
    lines = [f"a0: &a0 {first}"]
    lines += [f"a{i}: &a{i} {one.format(i - 1)}" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


LAUGHS = {
    "lists": chain(10, "[lol, lol]", "[*a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}, *a{0}]"),
    "mappings": chain(30, "{x: lol}", "{{x: *a{0}, y: *a{0}, z: *a{0}}}"),
    "merges": chain(30, "{x: lol}", "{{<<: [*a{0}, *a{0}, *a{0}], y: 1}}"),
    "keys of a block": "a: &a\n  - 1\n" * 2 + chain(20, "[1]", "[[*a{0}], [*a{0}, *a{0}]]"),
    "one anchor, used often": "a: &a [" + "1," * 1000 + "]\nb: [" + "*a," * 1000 + "]\n",
}


@pytest.mark.parametrize("text", LAUGHS.values(), ids=LAUGHS)
def test_aliases_that_stand_for_too_much_are_refused_at_once(text):
    begun = time.process_time()
    tracemalloc.start()
    with pytest.raises(YamlTextError) as caught:
        load_yaml(text)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert caught.value.line
    # as many values, or as many levels
    assert re.search(rf"\b({MAX_NODES} values|{MAX_DEPTH} levels)\b", str(caught.value))
    assert peak < 20e6
    assert time.process_time() - begun < 5


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "- " * 5000 + "x",
        "{a: " * 3000 + "1" + "}" * 3000,
        chain(300, "[1]", "[*a{0}]"),
        "&a [*b, &b [1]]\n" + "- [" * 200,
    ],
)
def test_what_is_nested_without_end_is_refused(text):
    with pytest.raises(YamlTextError):
        load_yaml(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [("a: &a [1, *a]", "a"), ("&a {b: *a}", "a"), ("x: &x\n  - &y {z: [*x]}", "x")],
)
def test_what_holds_itself_is_refused(text, name):
    with raises(YamlTextError, f"*{name} ", f"&{name}"):
        load_yaml(text)


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1, y: [1, 2]}\nb: *a\nc: {<<: *a, x: 2}\n",
        "names: [a & b, '*c', \"*d\"]\n",
        "- &a\n- *a\n",
        "# & and * in a comment\nx: 1\n",
        "big: [" + "1," * 3000 + "]\na: &a 1\nb: *a\n",
        "[" * (MAX_DEPTH - 1) + "1" + "]" * (MAX_DEPTH - 1),
        "",
    ],
)
def test_usual_anchors_and_large_files_are_read_as_ever(text, monkeypatch):
    monkeypatch.setattr(yaml_reader, "MAX_NODES", 1000)
    assert load_yaml(text) == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "expected"),  # what the parser says
        ("a: 2001-99-99", "month must be in"),
        (f"a: {'9' * 5000}", "Exceeds the limit"),
        ("a: [*nowhere, &x 1]", "found undefined alias"),
        ("a: \x1b[2J", "unacceptable character"),
        ("? [1, 2]\n: 3", "found unhashable key"),
    ],
)
def test_what_is_no_yaml(text, message):
    with raises(YamlTextError, "YAML: ", message) as caught:
        load_yaml(text)
    assert "\n" not in str(caught.value)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / "zero.yaml").symlink_to("/dev/zero")
    for name in ("pipe.yaml", "zero.yaml"):
        with raises(YamlTextError, "regular file"):
            read_yaml(tmp_path / name)
    (tmp_path / "latin.yaml").write_bytes("a: é".encode("latin-1"))
    with raises(YamlTextError, "UTF-8", "byte 4"):
        read_yaml(tmp_path / "latin.yaml")
