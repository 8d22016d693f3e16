"""A config that describes another model than its weights are of: refused before it is built."""

import copy

import pytest
import torch

from mmtx_cli.errors import MmtxError
from mmtx_cli.model import match_weights as fitting_module
from mmtx_cli.model.build import build_model
from mmtx_cli.model.match_weights import build_fitting, check_fitting
from tests.data.hostile import MEGABYTE, peak_memory
from tests.messages import raises
from tests.tiny import tiny_config

CONFIG = tiny_config("concat", ["classification"], ["text", "image"])


def changed(path, value):
    config = copy.deepcopy(CONFIG)
    *above, last = path.split(".")
    node = config
    for name in above:
        node = node[name]
    node[last] = value
    return config


@pytest.fixture(scope="module")
def weights():
    return build_model({"model": CONFIG}).state_dict()


def fitting(config, weights):
    return build_fitting(lambda: build_model({"model": config}), weights, "ckpt=x")


def test_what_fits_is_built(weights):
    made = fitting(CONFIG, weights)
    assert all(torch.equal(made.state_dict()[name], x) for name, x in weights.items())


LARGE = {
    "dim": 2**20,
    "encoder.image.width": 2**19,
    "encoder.text.width": 2**19,
    "encoder.text.vocab_size": 2**35,
    "encoder.text.max_length": 10**6,
    "encoder.image.image_size": 16 * 10**5,
    "encoder.image.depth": 10**4,
    "fusion.depth": 10**4,
    "fusion.dim": 2**20,
}


def refusal(path, value, weights):
    with pytest.raises(MmtxError, match=r"ckpt=x: .*(tensors|larger)"):
        fitting(changed(path, value), weights)


@pytest.mark.parametrize(("path", "value"), LARGE.items(), ids=LARGE)
def test_a_model_that_is_larger_than_its_weights(path, value, weights):
    assert peak_memory(refusal, path, value, weights) < 100 * MEGABYTE


def test_many_heads(weights, monkeypatch):
    monkeypatch.setattr(fitting_module, "SPARE", 20)
    config = copy.deepcopy(CONFIG)
    config["head"] = {f"h{i}": config["head"]["classification"] for i in range(50)}
    with raises(MmtxError, "ckpt=x: ", "config", "larger", "weights"):
        check_fitting(lambda: build_model({"model": config}), weights, "ckpt=x")


@pytest.mark.parametrize("register", ["parameter", "buffer"])
def test_a_large_part_that_cannot_be_built_without_numbers(register, weights):
    def build():
        part = torch.nn.Module()
        for number in range(9):
            large = torch.nn.Parameter(torch.empty(10**7), requires_grad=False)
            getattr(part, f"register_{register}")(f"x{number}", large)
        float(torch.zeros(1))

    with raises(MmtxError, "ckpt=x: ", "config", "larger", "weights"):
        check_fitting(build, weights, "ckpt=x")


def test_what_is_built_after_such_a_part_is_limited_too(weights):
    def build():
        float(torch.zeros(1))
        part = torch.nn.Module()
        for number in range(9):
            part.register_buffer(f"x{number}", torch.empty(10**7))
        pytest.fail("it was built")

    check_fitting(build, weights, "ckpt=x")  # nothing is known of it yet
    with raises(MmtxError, "ckpt=x: ", "config", "larger", "weights"):
        build_fitting(build, weights, "ckpt=x")


def test_a_part_that_cannot_be_built_without_numbers(weights):
    def build():
        float(torch.zeros(1))  # a tensor without numbers has none
        return build_model({"model": CONFIG})

    assert build_fitting(build, weights, "ckpt=x").dim == CONFIG["dim"]
