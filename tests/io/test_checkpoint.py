import json
import os
import pickle
import random

import pytest
import torch
from safetensors.torch import save_file

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.checkpoint import (
    find_model,
    load_checkpoint,
    read_config,
    read_weights,
)
from mmtx_cli.io.model_folder import save_folder
from tests.messages import raises

CONFIG = {
    "model": {"dim": 2, "encoder": {}, "fusion": {}, "head": {}},
    "preparation": {"image_size": 32},
    "data": {},
    "tokenizer": '{"a": 1}',
    "text_tokenizer": '{"b": 2}',
}
STATE = {"head.a.weight": torch.ones(2, 2), "head.a.bias": torch.zeros(2)}


@pytest.fixture
def folder(tmp_path):
    return save_folder(tmp_path / "my model", CONFIG, STATE)


@pytest.fixture
def checkpoint(tmp_path):
    path = tmp_path / "run" / "checkpoints" / "last.ckpt"
    path.parent.mkdir(parents=True)
    state = {**{f"model.{k}": v for k, v in STATE.items()}, "other.x": torch.ones(1)}
    torch.save({"config": CONFIG, "state_dict": state}, path)
    return path


def test_a_folder_is_read_back(folder):
    assert sorted(p.name for p in folder.iterdir()) == [
        "config.json", "model.safetensors", "text_tokenizer.json", "tokenizer.json"
    ]  # fmt: skip
    assert read_config(str(folder)) == CONFIG
    weights = read_weights(str(folder))
    assert weights.keys() == STATE.keys()
    assert all(torch.equal(weights[k], STATE[k]) for k in STATE)


def test_a_checkpoint_gives_the_models_tensors_by_their_own_names(checkpoint):
    assert read_config(str(checkpoint)) == {**CONFIG, "early": True}  # no settings of a run
    assert read_weights(str(checkpoint)).keys() == STATE.keys()


def test_a_run_folder_gives_its_model_then_its_best_then_its_last(checkpoint):
    run = checkpoint.parents[1]
    assert find_model(str(run)) == checkpoint
    best = checkpoint.with_name("best.ckpt")
    best.write_bytes(checkpoint.read_bytes())
    assert find_model(str(run)) == best
    model = save_folder(run / "model", CONFIG, STATE)
    assert find_model(str(run)) == model
    assert find_model(str(model)) == model
    assert find_model(str(checkpoint)) == checkpoint


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("my modle", ["{}/my model"]),
        ("nothing/at/all", ["file or folder"]),
        ("empty", ["model.safetensors", "model/model.safetensors", "checkpoints/last.ckpt"]),
    ],
)
def test_what_is_no_model(path, parts, folder):
    (folder.parent / "empty").mkdir()
    named = [part.format(folder.parent) for part in parts]
    with raises(CheckpointError, f"ckpt={folder.parent / path}: ", *named):
        find_model(str(folder.parent / path))


@pytest.mark.parametrize(
    "content",
    [b"hello\n", b"", b"{}", b"PK\x03\x04 and then nothing", bytes(range(256))],
)
def test_a_file_that_is_no_checkpoint(content, tmp_path):
    path = tmp_path / "x.ckpt"
    path.write_bytes(content)
    with raises(CheckpointError, f"{path}: ", "read as a checkpoint"):
        load_checkpoint(path)


@pytest.mark.parametrize("part", [0.2, 0.5, 0.9, 0.999])
def test_a_checkpoint_that_was_cut_off(part, checkpoint):
    whole = checkpoint.read_bytes()
    checkpoint.write_bytes(whole[: int(len(whole) * part)])
    with raises(CheckpointError, f"{checkpoint}: ", "read", "another checkpoint"):
        load_checkpoint(checkpoint)


@pytest.mark.parametrize("content", [{"state_dict": {}}, torch.ones(2), [1], {"a": 1}])
def test_a_torch_file_of_something_else(content, tmp_path):
    torch.save(content, tmp_path / "x.pt")
    with raises(CheckpointError, f"{tmp_path / 'x.pt'}: ", "checkpoint", "'config'"):
        load_checkpoint(tmp_path / "x.pt")


class Evil:
    """Runs a command when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch '{self.path}'",)


@pytest.mark.parametrize("kind", ["torch", "old torch", "pickle"])
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_nothing_in_a_checkpoint_is_executed(kind, tmp_path):
    path, trace = tmp_path / "x.ckpt", tmp_path / "trace"
    evil = {"config": Evil(trace)}
    if kind == "pickle":
        path.write_bytes(pickle.dumps(evil))
    else:
        torch.save(evil, path, _use_new_zipfile_serialization=kind == "torch")
    with raises(CheckpointError, f"{path}: ", "read as a checkpoint"):
        load_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize("content", [None, "", '{"model": ', "\xff"])
def test_a_folder_without_a_sound_config(content, folder):
    if content is None:
        (folder / "config.json").unlink()
    else:
        (folder / "config.json").write_bytes(content.encode("latin-1"))
    with raises(CheckpointError, f"{folder / 'config.json'}: ", "read", "model folder"):
        read_config(str(folder))


@pytest.mark.parametrize(
    "change",
    [
        [1],
        {},
        {"model": 3},
        {"model": {**CONFIG["model"], "encoder": ["image"]}},
        {"model": {**CONFIG["model"], "head": {"captioning": 3}}},
        {"preparation": None},
    ],
)
def test_a_config_of_something_else(change, folder, checkpoint):
    config = {**CONFIG, **change} if isinstance(change, dict) and change else change
    (folder / "config.json").write_text(json.dumps(config))
    torch.save({"config": config, "state_dict": {}}, checkpoint)
    for path in (folder, checkpoint):
        with raises(CheckpointError, path, "config of a model"):
            read_config(str(path))


def test_a_model_needs_the_tokenizers_that_it_was_saved_with(folder):
    (folder / "tokenizer.json").unlink()
    with raises(CheckpointError, f"{folder / 'tokenizer.json'}: ", "complete model folder"):
        read_config(str(folder))


@pytest.mark.parametrize("length", [0, 4, 60])
def test_weights_that_were_cut_off(length, folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:length])
    with raises(CheckpointError, f"{path}: ", "read"):
        read_weights(str(folder))


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    path = tmp_path / "x"
    path.write_text("old")
    with pytest.raises(TypeError), atomic_write(path) as temporary:
        temporary.write_text("half" and 3)
    assert path.read_text() == "old"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_everyone_may_read_what_the_umask_lets_them(folder):
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.iterdir():
        assert path.stat().st_mode & 0o777 == 0o666 & ~mask


def test_the_tokenizer_lies_beside_the_config(folder):
    assert "tokenizer" not in json.loads((folder / "config.json").read_text())
    assert (folder / "tokenizer.json").read_text() == CONFIG["tokenizer"]


def flipped(path, at):
    """The file with one bit changed, beside it."""
    data = bytearray(path.read_bytes())
    data[at // 8 % len(data)] ^= 1 << at % 8
    path.with_name("flipped" + path.suffix).write_bytes(data)
    return path.with_name("flipped" + path.suffix)


@pytest.mark.parametrize("kind", ["checkpoint", "folder"])
def test_a_bit_that_flipped_is_found_or_changes_nothing(kind, folder, checkpoint):
    """Anywhere in the file; some bytes, such as the dates in an archive, mean nothing."""
    path = checkpoint if kind == "checkpoint" else folder / "model.safetensors"
    draw, refused = random.Random(0), 0
    places = [draw.randrange(8 * path.stat().st_size) for _ in range(150)]
    for at in places:
        bad = flipped(path, at)
        if kind == "folder":
            bad = bad.replace(folder / "model.safetensors").parent
        try:
            found = read_weights(str(bad))
        except CheckpointError:
            refused += 1
        else:
            assert found.keys() == STATE.keys()
            assert all(torch.equal(found[name], STATE[name]) for name in STATE)
        if kind == "folder":
            save_folder(folder, CONFIG, STATE)
    assert refused > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_a_number_that_changed_is_named(dtype, tmp_path):
    state = {"a": torch.zeros(3, 2, dtype=dtype), "b": torch.ones((), dtype=dtype)}
    path = save_folder(tmp_path, CONFIG, state) / "model.safetensors"
    assert read_weights(str(tmp_path)).keys() == {"a", "b"}
    size = state["b"].element_size()
    data = bytearray(path.read_bytes())
    data[-size] ^= 1
    path.write_bytes(data)
    with raises(CheckpointError, f"{path}: ", "damaged", ": b "):
        read_weights(str(tmp_path))


def test_a_folder_without_checksums_is_read(tmp_path):
    save_folder(tmp_path, CONFIG, STATE)
    save_file(STATE, tmp_path / "model.safetensors")
    assert read_weights(str(tmp_path)).keys() == STATE.keys()
