import fcntl
import os
import time

import pytest

from mmtx_cli.data.manifest.writer import write_manifest
from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.errors import CheckpointError, ConfigError, DataError
from mmtx_cli.inference.embeddings import write_embeddings
from mmtx_cli.inference.output_lines import write_quarantine
from mmtx_cli.inference.subtitles import write_subtitles
from mmtx_cli.io.atomic import (
    STALE_SECONDS,
    appending,
    atomic_write,
    is_temporary,
    make_subfolder,
    open_new,
    remove_stale,
    write_json,
)
from mmtx_cli.report.html import write_page
from mmtx_cli.runs.run_dir import lock
from mmtx_cli.training.callbacks.metrics_csv import MetricsFile
from tests.command_line import mmtx, refused, succeeded
from tests.messages import mentions, raises


@pytest.fixture
def outside(tmp_path):
    path = tmp_path / "outside" / "file"
    path.parent.mkdir()
    path.write_text("keep")
    return path


def text(path):
    with atomic_write(path) as temporary:
        temporary.write_text("new")


def share(path):
    with open_new(path) as file:
        file.write("new")


def quarantine_of_inputs(path):
    write_quarantine(path.parent, [{"path": "a", "error": "empty"}])


def metrics(path):
    MetricsFile(path).rewrite()


WHOLE = {
    "file": text,
    "share": share,
    "result.json": lambda path: write_json(path, {"a": 1}),
    "report.html": lambda path: write_page(path, "page"),
    "metrics.csv": metrics,
    "quarantine.jsonl": quarantine_of_inputs,
    "rows.jsonl": lambda path: write_manifest(path, [{"id": "a", "split": "train"}]),
}


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("there", [True, False], ids=["link", "link to nothing"])
def test_a_link_is_replaced_and_not_followed(name, there, tmp_path, outside):
    path = tmp_path / name
    path.symlink_to(outside if there else outside.with_name("nothing"))
    WHOLE[name](path)
    assert not path.is_symlink()
    assert path.stat().st_size > 0
    assert outside.read_text() == "keep"
    assert [p.name for p in outside.parent.iterdir()] == ["file"]


APPENDED = {
    "metrics.csv": lambda path: write_rows(path),
    "quarantine.jsonl": lambda path: Quarantine(path, 9, 1.0).add(
        [{"id": "a", "path": "b", "reason": "c"}]
    ),
    ".lock": lambda path: lock(path.parent),
    "run.log": lambda path: appending(path, "ab"),
}


def write_rows(path):
    file = MetricsFile(path)
    file.columns.append("loss")
    file.write({"step": 1, "epoch": 1, "loss": 2.0})


@pytest.mark.parametrize("name", APPENDED)
def test_nothing_is_appended_through_a_link(name, tmp_path, outside):
    outside.write_text("")
    path = tmp_path / name
    path.symlink_to(outside)
    with raises(ConfigError, f"{path}: ", f"link to {outside}"):
        APPENDED[name](path)
    assert outside.read_text() == ""


@pytest.mark.parametrize("name", APPENDED)
def test_nothing_is_appended_to_a_file_of_two_names(name, tmp_path, outside):
    """Its other name may be that of a file elsewhere."""
    outside.write_text("")
    path = tmp_path / name
    os.link(outside, path)
    with raises(ConfigError, f"{path}: ", "hard links"):
        APPENDED[name](path)
    assert outside.read_text() == ""


@pytest.mark.parametrize("name", WHOLE)
def test_a_file_of_two_names_is_replaced(name, tmp_path, outside):
    os.link(outside, tmp_path / name)
    WHOLE[name](tmp_path / name)
    assert (tmp_path / name).stat().st_size > 0
    assert outside.read_text() == "keep"


@pytest.mark.parametrize("name", ["run.log", ".lock"])
def test_nothing_is_appended_to_a_fifo(name, tmp_path):
    os.mkfifo(tmp_path / name)
    with raises(ConfigError, f"{tmp_path / name}: ", "regular file"):
        APPENDED[name](tmp_path / name)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["fifo", "folder"])
def test_what_is_not_a_file_is_not_replaced(make, tmp_path):
    make(tmp_path / "x")
    with raises(ConfigError, f"{tmp_path / 'x'}: ", "regular file"):
        text(tmp_path / "x")
    assert [p.name for p in tmp_path.iterdir()] == ["x"]


@pytest.mark.parametrize("name", ["checkpoints", "model", "embeddings", "subtitles"])
def test_a_subfolder_of_a_run_is_not_a_link(name, tmp_path, outside):
    (tmp_path / name).symlink_to(outside.parent)
    with raises(ConfigError, f"{tmp_path / name}: ", f"link to {outside.parent}"):
        make_subfolder(tmp_path / name)
    assert make_subfolder(tmp_path / "new").is_dir()


def test_arrays_and_subtitles_stay_in_their_folder(tmp_path, outside):
    import numpy as np

    for name in ("embeddings", "subtitles"):
        (tmp_path / name).symlink_to(outside.parent)
    with raises(ConfigError, f"{tmp_path / 'embeddings'}: ", f"link to {outside.parent}"):
        write_embeddings(tmp_path, {"image": np.zeros((1, 2))})
    rows = [{"path": "a.mp4", "start": 0.0, "end": 1.0, "caption": "b"}]
    with raises(ConfigError, f"{tmp_path / 'subtitles'}: ", f"link to {outside.parent}"):
        write_subtitles(tmp_path / "subtitles", rows)
    assert [p.name for p in outside.parent.iterdir()] == ["file"]


def test_links_with_names_of_temporary_files_are_not_followed(tmp_path, outside):
    path = tmp_path / "config.yaml"
    for name in (".config.yaml.part", ".config.yaml.abc.part"):
        (tmp_path / name).symlink_to(outside)
    text(path)
    assert outside.read_text() == "keep"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["config.yaml", "outside"]


def test_what_a_killed_process_left_is_removed_once_it_is_old(tmp_path):
    path = tmp_path / "last.ckpt"
    old, fresh, other = (tmp_path / f".{name}.part" for name in ("last.ckpt.a", "last.ckpt.b", "c"))
    for left in (old, fresh, other):
        left.write_text("half")
    os.utime(old, (time.time() - STALE_SECONDS - 60,) * 2)
    remove_stale(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".c.part", ".last.ckpt.b.part"]
    assert all(is_temporary(p.name) for p in tmp_path.iterdir())
    assert not is_temporary("last.ckpt")


def left_by_a_killed_process(path, age=60):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("half")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_the_next_run_in_a_folder_removes_what_a_killed_one_left(tmp_path):
    run = tmp_path / "run"
    names = (".config.yaml.a.part", "checkpoints/.last.ckpt.b.part", "embeddings/.x.npy.c.part")
    left = [left_by_a_killed_process(run / name) for name in names]
    kept = [left_by_a_killed_process(run / name) for name in ("a.part", "deep/er/.x.part")]
    other = left_by_a_killed_process(run / "inner" / ".last.ckpt.d.part")
    (run / "inner" / ".lock").touch()
    fresh = left_by_a_killed_process(run / ".outputs-1.pt.e.part", age=-60)
    folder = left_by_a_killed_process(tmp_path / "away" / ".x.part")
    (run / "link").symlink_to(folder.parent)
    done = mmtx("score", "references=r.jsonl", "predictions=r.jsonl", "run_dir=run", cwd=tmp_path)
    assert done.returncode == 2  # refused before the folder is opened: nothing is touched
    assert all(path.exists() for path in left)
    (tmp_path / "r.jsonl").write_text('{"id": "a", "captions": ["a b"], "caption": "a b"}\n')
    args = ["references=r.jsonl", "predictions=r.jsonl", "run_dir=run", "bootstrap=2"]
    assert succeeded(mmtx("score", *args, cwd=tmp_path)) == run
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in (*kept, other, fresh, folder))


def test_nothing_is_removed_while_another_process_writes(tmp_path):
    (tmp_path / "r.jsonl").write_text('{"id": "a", "captions": ["a b"], "caption": "a b"}\n')
    left = left_by_a_killed_process(tmp_path / "run" / ".last.ckpt.a.part")
    with open(tmp_path / "run" / ".lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        args = ["references=r.jsonl", "predictions=r.jsonl", "run_dir=run"]
        mentions(refused("score", *args, cwd=tmp_path), f"run_dir={tmp_path / 'run'}: ", "wait")
    assert left.exists()


def test_two_writers_of_one_file_do_not_share_a_temporary_file(tmp_path):
    path = tmp_path / "x"
    with atomic_write(path) as first, atomic_write(path) as second:
        assert first != second
        first.write_text("first")
        second.write_text("second")
    assert path.read_text() == "first"


@pytest.mark.parametrize(
    "content",
    ["a,b\n1,2\n", "step,epoch\nx,1\n", "step,epoch\n1\n", "step,epoch\n1,2,3\n", "\0,\n", '"\n'],
)
def test_a_table_that_is_not_of_metrics_is_refused(content, tmp_path):
    path = tmp_path / "metrics.csv"
    path.write_text(content)
    file = MetricsFile(path)
    with raises(CheckpointError, f"{path}: ", "remove the file"):
        file.resume(3)


@pytest.mark.parametrize("line", ["[1]", "{}", '{"id": "a"}', "hello", "[" * 100_000, '"a"'])
def test_a_quarantine_of_something_else_is_refused(line, tmp_path):
    path = tmp_path / "quarantine.jsonl"
    path.write_text(line + "\n")
    with raises(DataError, f"{path}:1: ", "quarantine file", "remove the file"):
        Quarantine(path, 3, 1.0)
