import os
from pathlib import Path

import pytest

from mmtx_cli.io.checkpoint_files.keep import (
    checkpoint_files,
    copy_checkpoint,
    disk_usage,
    keep_previous,
    step_name,
)


def save(last: Path, text: str, keep: int) -> None:
    """Replace the last checkpoint as a run does."""
    keep_previous(last, keep)
    new = last.with_name("new")
    new.write_text(text)
    os.replace(new, last)


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("keep", [1, 2, 3, 4])
def test_as_many_are_kept(keep, tmp_path):
    for number in range(6):
        save(tmp_path / "last.ckpt", str(number), keep)
    names = ["last.ckpt", "previous.ckpt", "previous-2.ckpt", "previous-3.ckpt"][:keep]
    assert contents(tmp_path) == {name: str(5 - age) for age, name in enumerate(names)}


def test_fewer_than_before(tmp_path):
    for number in range(6):
        save(tmp_path / "last.ckpt", str(number), 4)
    save(tmp_path / "last.ckpt", "6", 2)
    assert contents(tmp_path) == {"last.ckpt": "6", "previous.ckpt": "5"}


def test_a_run_that_was_killed_before_the_new_one_was_renamed(tmp_path):
    """Both names are of one file then."""
    save(tmp_path / "last.ckpt", "0", 2)
    keep_previous(tmp_path / "last.ckpt", 2)
    save(tmp_path / "last.ckpt", "1", 2)
    assert contents(tmp_path) == {"last.ckpt": "1", "previous.ckpt": "0"}


def test_what_is_not_of_the_run_stays(tmp_path, capsys):
    saves, other = tmp_path / "checkpoints", tmp_path / "other"
    saves.mkdir()
    other.mkdir()
    (other / "mine.ckpt").write_text("mine")
    (saves / "previous-7.ckpt").symlink_to(other / "mine.ckpt")
    (saves / "previous.ckpt").symlink_to(other)
    for name in ("previous-x.ckpt", "previous-2.ckpt.bak", "my-previous.ckpt", "step-3.ckpt"):
        (saves / name).write_text("mine")
    for number in range(4):
        save(saves / "last.ckpt", str(number), 2)
    assert (saves / "previous-7.ckpt").is_symlink()
    assert contents(other) == {"mine.ckpt": "mine"}
    found = contents(saves)
    assert (found["last.ckpt"], found["previous.ckpt"]) == ("3", "2")
    assert sum(text == "mine" for text in found.values()) == 5
    (saves / "previous.ckpt").unlink()
    (saves / "previous.ckpt").mkdir()
    (saves / "previous.ckpt" / "notes").write_text("mine")
    save(saves / "last.ckpt", "4", 2)
    assert (saves / "previous.ckpt" / "notes").read_text() == "mine"
    assert (saves / "last.ckpt").read_text() == "4"
    assert "warning: " in capsys.readouterr().err


def folder(path: Path, text: str) -> Path:
    """A checkpoint of several files."""
    path.mkdir()
    (path / "checksums.json").write_text("{}")
    (path / "0.distcp").write_text(text)
    return path


def test_checkpoints_that_are_folders(tmp_path):
    folder(tmp_path / "last.ckpt", "0")
    for number in (1, 2):
        keep_previous(tmp_path / "last.ckpt", 2)
        os.replace(tmp_path / "last.ckpt", tmp_path / "away")
        folder(tmp_path / "last.ckpt", str(number))
        assert (tmp_path / "previous.ckpt" / "0.distcp").read_text() == str(number - 1)
        os.replace(tmp_path / "away", tmp_path / f"old {number}")
    copy_checkpoint(tmp_path / "last.ckpt", tmp_path / step_name(20))
    assert {p.name for p in checkpoint_files(tmp_path)} == {
        "last.ckpt", "previous.ckpt", "step-20.ckpt"
    }  # fmt: skip
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_system_without_links(links, tmp_path, monkeypatch):
    if not links:
        monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(OSError(95, "no")))
    for number in range(3):
        save(tmp_path / "last.ckpt", str(number), 2)
    assert contents(tmp_path) == {"last.ckpt": "2", "previous.ckpt": "1"}
    assert disk_usage(tmp_path) == 2
    copy_checkpoint(tmp_path / "last.ckpt", tmp_path / "best.ckpt")
    assert disk_usage(tmp_path) == (2 if links else 3)
