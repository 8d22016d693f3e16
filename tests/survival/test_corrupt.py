"""Checkpoints that were cut off, or of which a bit flipped anywhere: all are found."""

import random
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from mmtx_cli.cli import main
from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.checkpoint import load_checkpoint, read_config
from mmtx_cli.io.checkpoint_files import seal as seals
from mmtx_cli.io.checkpoint_files.seal import END_BYTES, SEAL_BYTES
from mmtx_cli.runs.fallback import intact_config
from tests.messages import mentions
from tests.survival.lab import RUN, difference, outcome, resumed

FLIPS, CUTS = 160, 40
QUICK = 36
"""Changes that are made in the quick form of the test."""


@pytest.fixture(scope="module")
def finished(survival_data, tmp_path_factory) -> Path:
    """A run of 6 steps, with its checkpoints of steps 2 and 4."""
    run = tmp_path_factory.mktemp("finished") / "run"
    args = [f"data.path={survival_data}", "trainer.max_steps=6", "trainer.val_every=2"]
    assert main([*RUN, *args, "trainer.keep_every=2", f"run_dir={run}"]) == 0
    return run


def regions(path: Path) -> dict[str, tuple[int, int]]:
    """Where the parts of a checkpoint are: half of its bytes are the numbers of a few tensors."""
    with zipfile.ZipFile(path) as archive:
        members, index = archive.infolist(), archive.start_dir
    size = path.stat().st_size
    pickle = next(x for x in members if x.filename.endswith("data.pkl"))
    start = pickle.header_offset + 30 + len(pickle.filename)
    return {
        "first header": (0, 64),
        "pickle": (start, start + pickle.file_size),
        "tensors and their headers": (members[1].header_offset, index),
        "index": (index, size - SEAL_BYTES - END_BYTES),
        "end": (size - SEAL_BYTES - END_BYTES, size - SEAL_BYTES),
        "seal": (size - SEAL_BYTES, size),
    }


def changed(data: bytes, places: dict[str, tuple[int, int]], count: int) -> list[tuple[str, bytes]]:
    """The bytes of a checkpoint with one bit flipped, or cut off, in every region alike."""
    draw, found = random.Random(0), []
    for number in range(count):
        name = [*places][number % len(places)]
        at = draw.randrange(*places[name])
        if number < count * FLIPS // (FLIPS + CUTS):
            bad = bytearray(data)
            bad[at] ^= 1 << draw.randrange(8)
            found.append((f"flip in {name} at {at}", bytes(bad)))
        else:
            found.append((f"cut off in {name} at {at}", data[:at]))
    return found


@pytest.mark.parametrize("count", [QUICK, pytest.param(FLIPS + CUTS, marks=pytest.mark.slow)])
def test_every_change_is_found_and_the_run_falls_back(count, finished, tmp_path, capsys):
    saves = tmp_path / "run" / "checkpoints"
    saves.mkdir(parents=True)
    last, previous = saves / "last.ckpt", saves / "previous.ckpt"
    source = finished / "checkpoints"
    shutil.copy(source / "step-4.ckpt", previous)
    good = read_config(str(previous))
    data = (source / "last.ckpt").read_bytes()
    places = regions(source / "last.ckpt")
    for name, bad in changed(data, places, count):
        last.write_bytes(bad)
        with pytest.raises(CheckpointError) as caught:
            load_checkpoint(last)
        mentions(caught.value, f"{last}: ", f"({previous}, step 4, is intact)")
        assert intact_config(last, lambda path: read_config(str(path))) == good, name
        assert last.samefile(previous), name
        mentions(capsys.readouterr().err, f"{last}: ", f"from {previous}, ", "(step 4; ")
        last.unlink()
    assert [path.name for path in saves.iterdir()] == ["previous.ckpt"]


def test_a_run_whose_last_save_is_damaged(finished, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    saves = run / "checkpoints"
    shutil.copy(saves / "step-2.ckpt", saves / "previous.ckpt")
    shutil.copy(saves / "step-2.ckpt", saves / "best.ckpt")
    for step in (4, 6):
        (saves / f"step-{step}.ckpt").unlink()
    bad = bytearray((saves / "last.ckpt").read_bytes())
    bad[len(bad) // 2] ^= 4
    (saves / "last.ckpt").write_bytes(bad)
    (run / "result.json").unlink()
    resumed(run)
    err = capsys.readouterr().err
    mentions(err, f"{saves / 'last.ckpt'}: damaged: ", "checksum", "step 2; 4 steps are repeated")
    assert difference(outcome(finished), outcome(run)) is None


def test_a_damaged_checkpoint_is_never_evaluated(finished, tmp_path, capsys, monkeypatch):
    """Another one would give other numbers: the message names it."""
    saves = tmp_path / "run" / "checkpoints"
    shutil.copytree(finished / "checkpoints", saves)
    best = saves / "best.ckpt"
    bad = bytearray(best.read_bytes())
    bad[len(bad) // 2] ^= 1
    best.write_bytes(bad)
    monkeypatch.chdir(tmp_path)
    assert main(["eval", f"ckpt={tmp_path / 'run'}", "bootstrap=0"]) == 2
    mentions(capsys.readouterr().err, f"{best}: damaged: ", f"({saves / 'last.ckpt'}, step 6, is")
    assert not (tmp_path / "runs").exists()


def test_a_checkpoint_is_read_in_full_once(finished, tmp_path, monkeypatch):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    (run / "result.json").unlink()
    shutil.copy(run / "checkpoints" / "step-4.ckpt", run / "checkpoints" / "last.ckpt")
    read, plain = [], seals._damage_of_file

    def counted(path: Path) -> str | None:
        read.append(path.name)
        return plain(path)

    monkeypatch.setattr(seals, "_damage_of_file", counted)
    resumed(run, "trainer.val_every=100")
    assert read.count("last.ckpt") == 1


@pytest.mark.parametrize("change", ["comment", "length"])
def test_a_file_of_an_earlier_version_ends_as_torch_ends_it(change, tmp_path):
    """Without a seal, because it has none yet, and not because it was lost."""
    path = tmp_path / "last.ckpt"
    torch.save({"config": {}, "state_dict": {}}, path)
    assert seals.damage(path) is None
    data = bytearray(path.read_bytes())
    if change == "length":
        data[-2] = SEAL_BYTES
    else:
        data[-2] = 4
        data += b"mmtx"
    path.write_bytes(data)
    assert seals.damage(path) == "its end"
