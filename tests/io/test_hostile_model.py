"""Checkpoints and model folders of unknown origin: refused by name, at once, and nothing runs."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.encoder.backbone.base import load_state
from mmtx_cli.errors import CheckpointError, DataError
from mmtx_cli.io.checkpoint import (
    find_model,
    load_checkpoint,
    read_config,
    read_weights,
)
from mmtx_cli.io.model_folder import save_folder
from mmtx_cli.io.untrusted import torch_file
from mmtx_cli.io.untrusted.tensor_checks import is_finite, type_mismatches
from mmtx_cli.io.untrusted.torch_file import plain_fault
from mmtx_cli.training.checkpoint_io import SafeCheckpointIO
from tests.hostile import (
    ARCHIVES,
    BACKENDS,
    CHECKPOINT,
    CHECKPOINTS,
    CONFIG,
    CONFIGS,
    SPECIAL,
    STATE,
    TOKENIZERS,
    WEIGHTS,
    WHY_REFUSED,
    laughs,
    nested,
)
from tests.messages import faults_mention, mentions, raises

NUMBERS = {"nan": float("nan"), "inf": float("inf"), "minus inf": float("-inf")}


@pytest.fixture
def folder(tmp_path):
    return save_folder(tmp_path / "model", CONFIG, STATE)


@pytest.fixture
def checkpoint(tmp_path):
    torch.save(CHECKPOINT, tmp_path / "x.ckpt")
    return tmp_path / "x.ckpt"


def both(path):
    """What every command reads of a trained model."""
    return read_config(str(path)), read_weights(str(path))


@pytest.mark.parametrize("name", CHECKPOINTS)
@pytest.mark.filterwarnings("ignore")
def test_a_checkpoint_of_other_things(name, checkpoint):
    both(checkpoint)
    torch.save(CHECKPOINTS[name](), checkpoint)
    with pytest.raises(CheckpointError, match=r"x\.ckpt: "):
        both(checkpoint)


@pytest.mark.parametrize("name", ARCHIVES)
def test_an_archive_that_would_unpack_to_more_than_it_is(name, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_file, "MAX_OPCODES", 100_000)
    bad = ARCHIVES[name](checkpoint, tmp_path / "bad.ckpt")
    monkeypatch.setattr(torch, "load", lambda *a, **k: pytest.fail("it was unpacked"))
    with raises(CheckpointError, f"{bad}: ", WHY_REFUSED[name]):
        both(bad)


@pytest.mark.parametrize("name", SPECIAL)
def test_what_is_no_file_in_place_of_a_checkpoint(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    SPECIAL[name](tmp_path / "x.ckpt")
    is_folder = name == "folder"
    path, why = tmp_path / "x.ckpt", "checkpoints/last.ckpt" if is_folder else "regular file"
    with raises(CheckpointError, f"{path}: ", why):
        both(path)


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_of_other_things(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    both(folder)
    (folder / "config.json").unlink()
    CONFIGS[name](folder / "config.json")
    with pytest.raises(CheckpointError, match=r"config\.json: "):
        both(folder)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_tokenizer_file_of_other_things(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "tokenizer.json").unlink()
    TOKENIZERS[name](folder / "tokenizer.json")
    with raises(CheckpointError, f"{folder / 'tokenizer.json'}: ", "read", "model folder"):
        both(folder)
    with raises(DataError, f"{folder / 'tokenizer.json'}: ", "read as a tokenizer"):
        Tokenizer.load(folder / "tokenizer.json")


@pytest.mark.parametrize("name", BACKENDS)
def test_a_tokenizer_that_the_library_does_not_take(name, tmp_path, capfd):
    (tmp_path / "tokenizer.json").write_text(BACKENDS[name])
    with raises(DataError, "tokenizer.json ", "tokenizers library"):
        Tokenizer.from_json(BACKENDS[name])
    with raises(DataError, f"{tmp_path / 'tokenizer.json'}: ", "tokenizers library"):
        Tokenizer.load(tmp_path / "tokenizer.json")
    assert capfd.readouterr().err == ""


def test_a_library_that_panics_is_one_message(monkeypatch, capfd):
    import os

    from mmtx_cli.data.text import tokenizer

    class PanicException(BaseException):
        """What a Rust library raises where it gives up."""

    def panic(text):
        os.write(2, b"thread 'main' panicked at src/lib.rs\n")
        raise PanicException("index out of range")

    monkeypatch.setattr(tokenizer.Backend, "from_str", panic, raising=False)
    with raises(DataError, "tokenizer.json ", ": index out of range;"):
        Tokenizer.from_json("{}")
    assert capfd.readouterr().err == ""


def test_an_interrupt_is_no_panic(monkeypatch):
    from mmtx_cli.data.text import tokenizer

    def interrupt(text):
        raise KeyboardInterrupt

    monkeypatch.setattr(tokenizer.Backend, "from_str", interrupt, raising=False)
    with pytest.raises(KeyboardInterrupt):
        Tokenizer.from_json("{}")


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_of_other_things(name, folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "model.safetensors").unlink()
    WEIGHTS[name](folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"model\.safetensors: "):
        both(folder)
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_state(str(folder / "model.safetensors"))


@pytest.mark.parametrize("name", ["fifo", "device", "socket"])
@pytest.mark.parametrize("kind", ["best.ckpt", "last.ckpt"])
def test_a_run_folder_with_something_else_in_place_of_a_save(name, kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "checkpoints").mkdir()
    SPECIAL[name](tmp_path / "checkpoints" / kind)
    assert find_model(str(tmp_path)) == tmp_path / "checkpoints" / kind
    with raises(CheckpointError, f"{tmp_path / 'checkpoints' / kind}: ", "read", "regular file"):
        both(tmp_path)


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_weights_that_are_not_finite_are_named(number, dtype, tmp_path):
    state = {"head.a": torch.ones(5, dtype=dtype), "head.b": torch.ones(3, 3, dtype=dtype)}
    state["head.b"][1, 2] = NUMBERS[number]
    save_folder(tmp_path / "model", CONFIG, state)
    torch.save({"config": CONFIG, "state_dict": {f"model.{k}": v for k, v in state.items()}},
               tmp_path / "x.ckpt")  # fmt: skip
    for path in ("model", "x.ckpt"):
        with raises(CheckpointError, tmp_path / path, "head.b ", "NaN", "infinite"):
            read_weights(str(tmp_path / path))
    with raises(CheckpointError, f"{tmp_path / 'x.ckpt'}: ", "model.head.b ", "NaN"):
        SafeCheckpointIO().load_checkpoint(tmp_path / "x.ckpt")
    with raises(ValueError, "model.safetensors", "head.b ", "NaN"):
        load_state(str(tmp_path / "model" / "model.safetensors"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_large_weights_are_finite(dtype):
    """Their sum may not be."""
    assert is_finite(torch.full((1000,), torch.finfo(dtype).max, dtype=dtype))
    assert is_finite(torch.zeros(0, dtype=dtype))
    assert is_finite(torch.full((3,), 2**62))


@pytest.mark.parametrize(
    ("mine", "theirs", "fits"),
    [
        (torch.float32, torch.float16, True),
        (torch.bfloat16, torch.float32, True),
        (torch.float32, torch.float64, True),
        (torch.float32, torch.int32, False),
        (torch.float32, torch.uint8, False),
        (torch.float32, torch.bool, False),
        (torch.float32, torch.complex64, False),
        (torch.float32, torch.float8_e4m3fn, False),
        (torch.int64, torch.float32, False),
        (torch.int64, torch.int32, False),
    ],
)
def test_only_floating_point_types_are_converted(mine, theirs, fits):
    faults = type_mismatches({"a": torch.ones(1, dtype=mine)}, {"a": torch.ones(1).to(theirs)})
    assert (faults == []) == fits
    if not fits:
        faults_mention(faults, ("a ", str(theirs)[6:], str(mine)[6:]))


def test_integers_in_place_of_weights_are_not_read(folder):
    """A type in the header is another reading of the same bytes."""
    path = folder / "model.safetensors"
    save_file({k: v.view(torch.int32) for k, v in load_file(path).items()}, path)
    assert read_weights(str(folder))["head.a.bias"].dtype == torch.int32
    assert type_mismatches(STATE, read_weights(str(folder)))


def test_plain_data_are_plain():
    shared = {"a": [1, 2.5, None, True, "x"]}
    assert plain_fault({"a": shared, "b": [shared, shared], "c": (1, 2)}) is None
    assert plain_fault(nested(60)) is None
    mentions(plain_fault(nested(70)), "64 levels")
    mentions(plain_fault(laughs()), f"{torch_file.MAX_PLAIN_VALUES:,} values")
    mentions(plain_fault([2**63]), "64 bits")
    assert plain_fault([2**63 - 1, -(2**63)]) is None


def test_a_checkpoint_of_many_tensors_is_read(tmp_path, monkeypatch):
    """Its pickle is larger than what is read unseen."""
    monkeypatch.setattr(torch_file, "SMALL_PICKLE", 10_000)
    state = {f"model.{i}": torch.ones(1) for i in range(500)}
    torch.save({"config": CONFIG, "state_dict": state}, tmp_path / "x.ckpt")
    assert load_checkpoint(tmp_path / "x.ckpt")["state_dict"].keys() == state.keys()


def test_a_long_tokenizer_is_read(tmp_path):
    config = {**CONFIG, "tokenizer": json.dumps({"a": "x" * 10**7})}
    torch.save({**CHECKPOINT, "config": config}, tmp_path / "x.ckpt")
    assert read_config(str(tmp_path / "x.ckpt"))["tokenizer"] == config["tokenizer"]
    folder = save_folder(tmp_path / "model", config, STATE)
    assert read_config(str(folder))["tokenizer"] == config["tokenizer"]
    shutil.rmtree(folder)
