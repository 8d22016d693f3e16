import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtx_cli.data.manifest.read import read_faulty, read_manifest
from mmtx_cli.data.manifest.table import cached, parts
from mmtx_cli.data.manifest.table.samples import SampleTable
from mmtx_cli.errors import DataError

LINES = (
    '{"id": "ID", "split": "train", "image": "a.jpg", "captions": ["a cat"]}',
    '{"id": "ID", "split": "val", "image": ["a.jpg", "b.jpg"], "label": "x"}',
    '{"id": "ID", "split": "Dev", "text": "e\\u0301té", "label": ["x", "y"], "note": 1}',
    '{"id": "ID", "split": "test", "label": 2, "answers": {"yes": 2}, "group": "g"}',
    '{"id": "ID", "split": "train", "image": "missing.jpg"}',
    '{"id": "ID", "split": "train", "image": "../out.jpg", "captions": []}',
    '{"id": "ID", "split": "trian", "image": "http://x/y.jpg"}',
    '{"id": "ID", "split": "train", "captoins": ["a"]}',
    '{"id": 7, "split": "train"}',
    '{"id": " ", "split": "train"}',
    '{"id": "ID", "id": "b"}',
    "[1]",
    "{",
    "",
    '\ufeff{"id": "ID", "split": "train"}',
    '{"id": "ID", "split": "train", "features": {"audio": {"path": "f.npz", "key": "k"}}}',
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MMTX_MANIFEST_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(parts, "PART_BYTES", 300)
    monkeypatch.setattr(parts, "BATCH_ROWS", 3)
    for name in ("a.jpg", "b.jpg", "f.npz"):
        (tmp_path / name).touch()
    return tmp_path


def both(path, monkeypatch, **options):
    """What the manifest is as a list, and as a table."""
    monkeypatch.setenv("MMTX_TABLE_ROWS", "1000000")
    as_list = read_faulty(path, **options)
    monkeypatch.setenv("MMTX_TABLE_ROWS", "0")
    as_table = read_faulty(path, **options)
    assert isinstance(as_list[0].samples, list)
    assert not isinstance(as_table[0].samples, list)
    return as_list, as_table


ROW = st.tuples(st.sampled_from(LINES), st.sampled_from("abcdefghijkl"))


@given(st.lists(ROW, max_size=30), st.sampled_from(["\n", "\r\n"]), st.booleans())
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_rows_and_faults_are_those_of_a_list(folder, monkeypatch, rows, end, files):
    # one process: many forks would take long
    monkeypatch.setattr(parts, "available_cores", lambda: 1)
    path = folder / "m.jsonl"
    text = "".join(line.replace("ID", ident) + end for line, ident in rows)
    path.write_bytes(text.encode("utf-8"))
    (listed, faults), (table, table_faults) = both(path, monkeypatch, check_files=files)
    assert table_faults == faults
    assert list(table.samples) == listed.samples


def test_several_processes_read_in_order(folder, monkeypatch):
    monkeypatch.setattr(parts, "available_cores", lambda: 3)
    path = folder / "m.jsonl"
    lines = [LINES[i % 7].replace("ID", f"s{i}" if i % 11 else "s") for i in range(200)]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    (listed, faults), (table, table_faults) = both(path, monkeypatch)
    assert len(faults) > 50
    assert table_faults == faults
    assert list(table.samples) == listed.samples
    assert [sample.line for sample in table.samples][-1] > 190


def test_ids_with_equal_hashes_are_different_ids(folder, monkeypatch):
    monkeypatch.setattr(parts, "available_cores", lambda: 1)
    name = "mmtx_cli.data.manifest.table.{}.id_keys"
    for module in ("columns", "first_reading"):
        import numpy as np

        short = lambda ids: np.array([len(i) for i in ids], dtype=np.uint64)  # noqa: E731
        monkeypatch.setattr(name.format(module), short)
    path = folder / "m.jsonl"
    rows = [{"id": ident, "split": "train"} for ident in ("a", "b", "cc", "dd", "a")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (_, faults), (table, table_faults) = both(path, monkeypatch)
    assert table_faults == faults == [f"{path}:5: id 'a' is already used on line 1; rename one"]
    assert [sample.id for sample in table.samples] == ["a", "b", "cc", "dd"]


@pytest.mark.parametrize("labels", ["1 2 1.5 nan", "1 2 3 4", "x 1.5 y 2", "1e3 inf -inf 2"])
def test_labels_of_text_tables(folder, monkeypatch, labels):
    path = folder / "m.csv"
    rows = [f"r{i},train,{label}" for i, label in enumerate(labels.split())]
    path.write_text("\n".join(["id,split,label", *rows]) + "\n")
    (listed, faults), (table, table_faults) = both(path, monkeypatch)
    assert table_faults == faults
    assert repr(list(table.samples)) == repr(listed.samples)  # nan is not equal to itself


@pytest.mark.parametrize("header", ["id,split,image", "id,image", "name,split", "id,splt,image"])
def test_headers_of_text_tables(folder, monkeypatch, header):
    path = folder / "m.csv"
    path.write_text(f"{header}\n" + "".join(f"r{i},train,a.jpg\n" for i in (1, 2, 1)))
    (listed, faults), (table, table_faults) = both(path, monkeypatch)
    assert faults
    assert table_faults == faults
    assert list(table.samples) == listed.samples


@pytest.mark.parametrize(
    "content", [b"\xff\xfe{\x00", b"[\n{}\n]\n", b"{}\n" + b"x" * 2**24 + b"\n{}\n" * 200, b"\n"]
)
def test_files_that_are_no_json_lines(folder, monkeypatch, content):
    path = folder / "m.jsonl"
    path.write_bytes(content)
    (_, faults), (_, table_faults) = both(path, monkeypatch)
    assert faults
    assert table_faults == faults


def test_all_faults_at_once_with_their_number(folder, monkeypatch):
    monkeypatch.setenv("MMTX_TABLE_ROWS", "0")
    path = folder / "m.jsonl"
    path.write_text("".join(f'{{"id": "{i}", "split": "no"}}\n' for i in range(90)))
    with pytest.raises(DataError) as caught:
        read_manifest(path)
    assert caught.value.faults[0].startswith(f"{path}:1: unknown split")
    assert caught.value.faults[-1] == "… and 70 more"
    assert not [p for p in (folder / "cache").iterdir() if not p.name.endswith(".lock")]


def test_rows_are_counted_before_they_are_read(folder, monkeypatch):
    path = folder / "m.jsonl"
    path.write_text("".join(f'{{"id": "{i}", "split": "train"}}\n' for i in range(9)))
    for least, kind in ((10, list), (9, SampleTable)):
        monkeypatch.setenv("MMTX_TABLE_ROWS", str(least))
        assert type(read_manifest(path).samples) is kind
    monkeypatch.setenv("MMTX_TABLE_ROWS", "many")
    with pytest.raises(Exception, match="MMTX_TABLE_ROWS=many"):
        cached.is_large(path)
