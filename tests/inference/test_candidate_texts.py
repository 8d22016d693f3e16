"""Texts that inputs are compared with."""

import json

import pytest
from omegaconf import OmegaConf

from mmtx_cli.command.predict import source_faults
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.inference.candidate_texts import candidate_texts
from mmtx_cli.inference.inputs import read_text
from tests.messages import faults_mention, raises


@pytest.mark.parametrize("column", ["text", "captions"])
def test_only_the_texts_of_a_manifest_are_looked_at(tmp_path, column):
    rows = [
        {"id": "a", "image": "/etc/passwd", "text": "one", "captions": ["one", "two"]},
        {"id": "b", "image": "missing.jpg", "label": [], "features": 3, "answers": {}},
        {"id": "c", "video": "http://x.org/a.mp4", "text": "one"},
    ]
    path = tmp_path / "m.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert candidate_texts(str(path), column) == (["one"] if column == "text" else ["one", "two"])
    rows[0]["text"], rows[0]["captions"] = 3, [4]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with raises(DataError, f"m.jsonl:1: {column}"):
        candidate_texts(str(path), column)


def test_a_line_is_a_text(tmp_path):
    path = tmp_path / "t.txt"
    path.write_bytes("\ufeffa\x0bb\r\nc\u2028d\x85e\n\n a\x0bb \n".encode())
    assert candidate_texts(str(path), "text") == ["a\x0bb", "c\u2028d\x85e"]


def test_a_missing_file_is_that_of_its_row(tmp_path):
    """What a link leads to is looked at all the same."""
    (tmp_path / "root").mkdir()
    path = tmp_path / "root" / "m.jsonl"
    path.write_text('{"id": "a", "split": "val", "image": "no.jpg", "captions": []}\n')
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    faults_mention(
        caught.value.faults,
        (f"{path}:1: image: ", tmp_path / "root" / "no.jpg"),
        (f"{path}:1: captions ", "empty list"),
    )
    (row,) = read_manifest(path, ignored={"captions"}, may_be_absent=True).samples
    assert row.image == (str(tmp_path / "root" / "no.jpg"),)
    (tmp_path / "root" / "no.jpg").symlink_to("/etc/no such file")
    with raises(DataError, f"{path}:1: image: no.jpg ", "link", "root"):
        read_manifest(path, ignored={"captions"}, may_be_absent=True)
    path.write_text('{"id": "a", "split": "val", "image": "../no.jpg"}\n')
    with raises(DataError, f"{path}:1: image: ../no.jpg ", "data.allow_outside_root=true"):
        read_manifest(path, may_be_absent=True)


@pytest.mark.parametrize(("text", "words"), [(2024, "2024"), (0, "0"), ("x", "x"), (None, None)])
def test_a_text_that_is_a_number(text, words):
    cfg = OmegaConf.create({"text": text})
    read_text(cfg)
    assert cfg.text == words


def test_a_text_that_is_a_list():
    with raises(ConfigError, "text=['a']: ", "one text"):
        read_text(OmegaConf.create({"text": ["a"]}))


def test_a_text_alone_has_no_pieces():
    cfg = {"ckpt": "run", "inputs": None, "text": "why", "segment_seconds": 3, "split": None}
    faults_mention([*source_faults(OmegaConf.create(cfg))], ("segment_seconds: ", "inputs", "text"))
    assert not [*source_faults(OmegaConf.create(cfg | {"inputs": "a.mp4"}))]
