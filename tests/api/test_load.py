"""Loading a trained model from Python."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import mmtx_cli
from mmtx_cli.errors import CheckpointError, ConfigError
from tests.messages import raises
from tests.predicting import model_folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return str(model_folder(tmp_path_factory.mktemp("model") / "m", ["captioning"], ["image"]))


def test_importing_the_package_does_not_import_torch():
    program = "import sys, mmtx_cli; assert 'load' in dir(mmtx_cli); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_names_of_the_api():
    assert {*mmtx_cli.__all__} <= {*dir(mmtx_cli)}
    assert mmtx_cli.Model.__module__ == "mmtx_cli.api.model"
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        mmtx_cli.lode  # noqa: B018


def test_what_a_model_is(folder):
    model = mmtx_cli.load(folder, device="cpu")
    assert (model.modalities, model.heads) == (["image"], ["captioning"])
    assert model.device == torch.device("cpu")
    assert repr(model) == (
        f"Model({folder!r}, modalities=['image'], heads=['captioning'], device='cpu')"
    )
    assert not any(module.training for module in model.network.modules())


def test_settings_are_those_of_the_command(folder):
    data = {"max_image_pixels": 100, "decode_timeout": 3.0}
    settings = {"data": data, "generation": {"num_beams": 2}}
    model = mmtx_cli.load(folder, batch_size=3, num_workers=1, seed=7, settings=settings)
    data = model.run.data
    assert (data.max_image_pixels, data.decode_timeout, data.eval_batch_size) == (100, 3.0, 3)
    assert (model.run.generation.num_beams, model.run.seed, data.num_workers) == (2, 7, 1)
    assert model.reader.limits.pixels == 100


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ({"settings": {"dta": {}}}, ["dta", "'data'"]),
        ({"settings": {"data": {"batch": 3}}}, ["data.batch", "unknown key"]),
        ({"settings": {"head": {"vqa": {"_target_": "os.system"}}}}, ["head.vqa", "os.system"]),
        ({"precision": "half"}, ["trainer.precision", "'half'", "bf16-mixed"]),
        ({"device": "cuda:77"}, ["device='cuda:77'", "not available"]),
        ({"device": "gpux"}, ["device='gpux'", "not available"]),
        ({"batch_size": 0}, ["data.eval_batch_size", "at least 1"]),
        ({"seed": -1}, ["seed", "at least 0"]),
    ],
)
def test_wrong_arguments_are_reported(folder, arguments, parts):
    with raises(ConfigError, *parts):
        mmtx_cli.load(folder, **arguments)


def test_a_model_that_is_not_there(tmp_path):
    with raises(CheckpointError, "nothing", "not found"):
        mmtx_cli.load(tmp_path / "nothing")
    with raises(CheckpointError, str(tmp_path), "model.safetensors"):
        mmtx_cli.load(tmp_path)


def test_half_precision(folder):
    model = mmtx_cli.load(folder, precision="bf16-mixed")
    (row,) = model.caption(np.zeros((8, 8), np.uint8))
    assert row["score"] < 0
