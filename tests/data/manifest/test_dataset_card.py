import time
import tracemalloc

import pytest

from mmtx_cli.data.manifest.dataset_card import read_card
from mmtx_cli.data.manifest.writer import write_manifest
from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted.yaml_reader import MAX_NODES
from tests.messages import mentions, raises

LAUGHS = "a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9)
)


@pytest.mark.parametrize(
    "last", ["label_names: *a8\n", "counts: {train: *a8}\n", "mine: *a8\n", ""]
)
def test_a_card_that_stands_for_gigabytes_is_refused_at_once(last, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(LAUGHS + last)
    begun = time.process_time()
    tracemalloc.start()
    with pytest.raises(DataError) as caught:
        read_card(path)
    assert tracemalloc.get_traced_memory()[1] < 20e6
    tracemalloc.stop()
    assert time.process_time() - begun < 5
    mentions(caught.value, f"{path}:6: ", "aliases", f"{MAX_NODES} values")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("label_names: " + "[" * 60 + "1" + "]" * 60, [": label_names ", "[[["]),
        ("label_names: &a [x, *a]", [":1: ", "*a", "&a"]),
        ("root: 2001-02-30", [": ", "YAML", "day is out of range"]),  # as Python says it
        ("root: " + "[x, " * 30 + "x" + "]" * 30, [": root ", '["x", ["x", ']),
        (f"source: {{{', '.join(f'k{i}: {i}' for i in range(5000))}}}", [": source ", '"k0": 0']),
    ],
)
def test_what_is_shown_of_a_wrong_value_is_short(text, parts, tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text(text)
    place, *others = parts
    with raises(DataError, f"{path}{place}", *others) as caught:
        read_card(path)
    assert len(str(caught.value)) < 300 + len(str(path))


def test_an_old_card_is_not_expanded_when_a_manifest_is_written(tmp_path):
    (tmp_path / "m.yaml").write_text(LAUGHS)
    with raises(DataError, f"{tmp_path / 'm.yaml'}:6: ", "aliases"):
        write_manifest(tmp_path / "m.jsonl", [{"id": "a", "split": "train"}], card={"source": "x"})


def test_usual_aliases_are_read(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("mine: &names [cat, dog]\nlabel_names: *names\n")
    assert read_card(path).label_names == ["cat", "dog"]
