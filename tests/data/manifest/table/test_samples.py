import pickle
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.data.manifest.concat import joined
from mmtx_cli.data.manifest.dataset_card import Card
from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.manifest.sample import SPLITS, Sample
from mmtx_cli.data.manifest.table import facts, samples
from mmtx_cli.data.manifest.table.joined import write_table
from mmtx_cli.data.manifest.table.samples import SampleTable, TableFile
from mmtx_cli.runs.data_changes import row_digests
from tests.data.manifest.table import drawn

VALUES = ("image", "video", "audio", "text", "captions", "answers", "label", "number", "group")
FEATURES = tuple(f"features.{name}" for name in ("text", "image", "video", "audio"))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MMTX_MANIFEST_CACHE", str(tmp_path / "cache"))


def kinds(rows):
    """Types of labels: 1 == 1.0, but they are printed differently."""
    return [type(row.label) for row in rows]


@given(drawn.samples(), st.data())
@settings(max_examples=60, deadline=None)
def test_a_table_is_the_list_that_it_was_made_of(rows, data):
    with tempfile.TemporaryDirectory() as folder:
        table = drawn.table_of(rows, Path(folder) / "t" / "samples.arrow")
        assert list(table) == rows
        assert kinds(table) == kinds(rows)
        assert [table[i] for i in range(-len(rows), len(rows))] == [*rows, *rows]
        start, stop = (data.draw(st.integers(-3, len(rows) + 3)) for _ in range(2))
        step = data.draw(st.sampled_from([1, 2, -1]))
        assert list(table[start:stop:step]) == rows[start:stop:step]
        chosen = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=20))
        view = table[::-1].take(np.array(chosen, dtype=np.int64))
        expected = [rows[::-1][i] for i in chosen]
        assert list(view) == expected
        assert list(pickle.loads(pickle.dumps(view))) == expected


@given(drawn.samples(), drawn.samples())
@settings(max_examples=15, deadline=None)
def test_facts_and_digests_of_a_table_are_those_of_the_list(one, two):
    with tempfile.TemporaryDirectory() as folder:
        one = [replace(row, corpus="a") for row in one]
        two = [replace(row, corpus="b") for row in two]
        for rows, names in ((one, [None]), (one + two, ["a", "b"])):
            parts = [one, two][: len(names)]
            paths = [Path(folder) / f"{names[0]}{i}" / "x" for i in range(len(parts))]
            for path, part in zip(paths, parts, strict=True):
                drawn.table_of(part, path)
            table = SampleTable([*map(TableFile, paths, names)])
            rows = [
                replace(row, corpus="")
                if names == [None]
                else replace(
                    row,
                    id=f"{row.corpus}/{row.id}",
                    group=f"{row.corpus}/{row.group}" if row.group else row.corpus,
                )
                for row in rows
            ]
            compare(rows, table)


def compare(rows, table):
    assert list(table) == rows
    for name in (*VALUES[:-1], *FEATURES):
        assert facts.present(table, name).tolist() == facts.present(rows, name).tolist(), name
    for split in SPLITS:
        assert list(facts.of_split(table, split)) == facts.of_split(rows, split)
    for fact in (facts.split_counts, facts.label_texts, facts.has_label_lists):
        assert fact(table) == fact(rows)
    for fact in (facts.sample_keys, facts.image_counts, facts.split_codes):
        assert fact(table).tolist() == fact(rows).tolist()
    names, codes = facts.corpus_codes(table)
    assert [names[code] for code in codes] == [row.corpus for row in rows]
    assert row_digests(table) == row_digests(rows)


def test_scattered_rows_of_many_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("mmtx_cli.data.manifest.table.joined._ROWS", 7)
    rows = [Sample(f"s{i}", "train", captions=(f"c{i}",) * (i % 3), line=i) for i in range(400)]
    table = drawn.table_of(rows, tmp_path / "t" / "x")
    order = np.random.default_rng(0).permutation(400)
    assert list(table.take(order)) == [rows[i] for i in order]
    assert row_digests(table.take(order)) == row_digests([rows[i] for i in order])


def test_a_mixture_of_a_table_and_a_list(tmp_path):
    rows = [Sample(str(i), "train", label="x", line=i + 1) for i in range(5)]
    more = [Sample(str(i), "val", group="g" if i else None, line=i + 1) for i in range(4)]

    def mixed(table):
        parts = {"a": table, "b": more}
        return joined({n: Manifest(Path(n), part, Card()) for n, part in parts.items()})

    expected = mixed(rows)
    found = mixed(drawn.table_of(rows, tmp_path / "t" / "x")[1:])
    assert isinstance(found.samples, SampleTable)
    assert list(found.samples) == expected.samples[1:]
    assert found.where(found.samples[-1]) == "b:4"


def test_long_columns_are_several_batches(tmp_path, monkeypatch):
    import pyarrow as pa

    whole = pa.array

    def limited(values, kind=None):
        """Arrays as if three texts filled one."""
        made = whole(values, kind)
        return (
            pa.chunked_array([made[:3], made[3:]])
            if kind == pa.string() and len(made) > 3
            else made
        )

    rows = [Sample(str(i), "train", line=i) for i in range(20)]
    monkeypatch.setattr(pa, "array", limited)
    write_table(rows, tmp_path / "x")
    monkeypatch.undo()
    batches = list(samples.batches_in(tmp_path / "x"))
    assert len(batches) > 6
    assert list(SampleTable([TableFile(tmp_path / "x")])) == rows


def test_several_threads_get_the_rows_they_ask_for(tmp_path):
    rows = [Sample(f"s{i}", "train", line=i) for i in range(400)]
    table = drawn.table_of(rows, tmp_path / "t" / "x")
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(table.__getitem__, range(400)))
    finally:
        sys.setswitchinterval(before)
    assert found == rows
