"""Training on a memory-mapped table of samples in place of a list."""

import json

import pytest
import torch
from safetensors.torch import load_file

from mmtx_cli.synthetic.scenes.make import make_scenes
from tests.command_line import PRETRAINING, mmtx, succeeded

RANDOM = ["data.augment.scale=[0.6,1.0]", "decoder.dropout=0.2", "trainer.log_every=1"]
COMMON = ["pretrain", *PRETRAINING, *RANDOM, "trainer.max_steps=10", "data.num_workers=1"]


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Scenes with one to three captions, and groups."""
    path = make_scenes(tmp_path_factory.mktemp("tables") / "scenes", num=60, size=32)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for i, row in enumerate(rows):
        captions = [*row["captions"], 'Größe – "ça" it\'s', "a ball"]
        row |= {"captions": captions[: 1 + i % 3], "group": "odd" if i % 2 else "even"}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def train(tmp_path_factory):
    """Trains on manifests of so many rows as a table, with one cache."""
    folder = tmp_path_factory.mktemp("runs")

    def run(name, rows, *args):
        env = {"MMTX_TABLE_ROWS": str(rows), "MMTX_MANIFEST_CACHE": str(folder / "cache")}
        return succeeded(mmtx(*args, f"run_dir={folder / name}", **env))

    return run


def losses(run):
    """Rows of the log without their times."""
    return [row.split(",")[2:5] for row in (run / "metrics.csv").read_text().splitlines()]


def assert_equal_runs(one, two):
    assert losses(one) == losses(two)
    assert len(losses(one)) > 10
    weights = [load_file(run / "model" / "model.safetensors") for run in (one, two)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    results = [json.loads((run / "result.json").read_text()) for run in (one, two)]
    assert results[0]["metrics"] == results[1]["metrics"]
    stored = [
        torch.load(run / "checkpoints" / "last.ckpt", weights_only=True) for run in (one, two)
    ]
    configs = [next(iter(_values(checkpoint, "rows"))) for checkpoint in stored]
    assert configs[0] == configs[1]


def _values(content, key):
    """Values of a key anywhere in nested dicts."""
    for name, value in content.items() if isinstance(content, dict) else ():
        if name == key:
            yield value
        yield from _values(value, key)


def test_training_is_the_same_to_the_bit(manifest, train):
    args = [*COMMON, f"data.path={manifest}"]
    listed = train("list", 10**9, *args)
    assert_equal_runs(listed, train("table", 1, *args))


@pytest.mark.slow
def test_later_runs_open_what_the_first_one_stored_and_resume_those_with_lists(manifest, train):
    args = [*COMMON, f"data.path={manifest}"]
    listed = train("first-list", 10**9, *args)
    assert_equal_runs(listed, train("first-table", 1, *args))
    # a second run opens what the first one stored
    assert_equal_runs(listed, train("again", 1, *args))
    # the digests of the rows are the same, so that a run of an earlier version can go on
    args = ["pretrain", "resume=true", "trainer.max_steps=12"]
    train("first-list", 1, *args)
    train("first-table", 10**9, *args)
    assert_equal_runs(listed, listed.with_name("first-table"))


@pytest.mark.slow
def test_a_mixture_of_tables_and_lists(manifest, train):
    small = manifest.with_name("small.jsonl")
    small.write_text("".join(manifest.read_text().splitlines(keepends=True)[:20]))
    parts = f"[{{name: a, path: '{manifest}'}}, {{name: b, path: '{small}'}}]"
    args = [*COMMON, "data.path=null", f"data.mixture={parts}"]
    listed = train("mixed-list", 10**9, *args)
    assert_equal_runs(listed, train("mixed-both", 30, *args))
    assert_equal_runs(listed, train("mixed-tables", 1, *args))
