"""A checkpoint that is a folder is the old or the new one, whenever its writer is killed."""

import json
import os
from unittest.mock import patch

import pytest

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.sharded import folder
from tests.messages import raises

CALLS = ("os.replace", "os.fsync", "os.open", "shutil.rmtree", "os.chmod")


class Killed(BaseException):
    """The process has ended."""


def write(target, text):
    """A checkpoint with this content."""
    temporary = folder.make_temporary(target)
    (temporary / folder.META).write_text(text)
    folder.finish(temporary, target, {folder.META: folder.checksum(temporary / folder.META)})


def content(target):
    found = folder.recovered(target)
    if found.is_file():
        return found.read_text()
    folder.check_files(found, listed := folder.read_checksums(found), listed)
    return (found / folder.META).read_text()


def writes_until(count, target, text):
    """Write, but be killed before the n-th call that changes the disk; True if there were fewer."""
    left = [count]

    def counted(call):
        def instead(*args, **kwargs):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return call(*args, **kwargs)

        return instead

    originals = {name: getattr(*_owner(name)) for name in CALLS}
    originals["exchange"] = folder.exchange
    patches = [patch.object(*_owner(name), counted(originals[name])) for name in CALLS]
    patches.append(patch.object(folder, "exchange", counted(originals["exchange"])))
    for each in patches:
        each.start()
    try:
        write(target, text)
    except Killed:
        return False
    finally:
        for each in patches:
            each.stop()
    return True


def _owner(name):
    module, attribute = name.split(".")
    return getattr(folder, module), attribute


@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "two renames"])
@pytest.mark.parametrize("kind", ["folder", "file"])
def test_a_kill_at_any_call_leaves_the_old_or_the_new_one(tmp_path, monkeypatch, exchanges, kind):
    if not exchanges:
        monkeypatch.setattr(folder, "exchange", lambda one, other: False)
    seen = set()
    for count in range(100):
        target = tmp_path / str(count) / "last.ckpt"
        target.parent.mkdir()
        if kind == "folder":
            write(target, "old")
        else:
            target.write_text("old")
        done = writes_until(count, target, "new")
        seen.add(content(target))
        if done:
            assert content(target) == "new"
            assert os.listdir(target.parent) == ["last.ckpt"]
            break
        write(target, "newer")  # the next save removes what is left
        assert content(target) == "newer"
        assert os.listdir(target.parent) == ["last.ckpt"]
    assert done
    assert count > 5
    assert seen == {"old", "new"}


def test_a_file_that_is_changed_missing_or_added_is_named(tmp_path):
    target = tmp_path / "last.ckpt"
    write(target, "text")
    with raises(CheckpointError, f"{target}: damaged: ", folder.META, "checksum"):
        (target / folder.META).write_text("tixt")
        content(target)
    with raises(CheckpointError, folder.META, "truncated"):
        (target / folder.META).write_text("te")
        content(target)
    (target / "more").touch()
    with raises(CheckpointError, "more is not listed"):
        content(target)
    (target / "more").unlink()
    (target / folder.META).unlink()
    with raises(CheckpointError, f"{folder.META} is missing"):
        content(target)
    (target / folder.CHECKSUMS).write_text(json.dumps({"../x": {"bytes": 1}}))
    with raises(CheckpointError, "damaged"):
        content(target)


def test_a_link_is_replaced_and_what_it_names_is_kept(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").touch()
    target = tmp_path / "run" / "last.ckpt"
    target.parent.mkdir()
    target.symlink_to(elsewhere)
    write(target, "new")
    assert not target.is_symlink()
    assert content(target) == "new"
    assert (elsewhere / "file").exists()
