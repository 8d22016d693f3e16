import math

import pytest
import torch
from torch import nn

from mmtx_cli.config.schema import OptimizerSettings
from mmtx_cli.errors import ConfigError
from mmtx_cli.training.optimizer import decayed_names, make_optimizer, make_schedule, warmup_cosine
from tests.messages import faults_mention, raises
from tests.tiny import HEADS, tiny_model

UNDECAYED = ("norm", "bias", "embedding", "position", "kind", "log_scale")


@pytest.fixture(scope="module")
def model():
    return tiny_model("concat", HEADS)


def groups_by_name(model, settings):
    """(learning rate, weight decay) of each parameter."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in make_optimizer(model, settings).param_groups
        for p in group["params"]
    }


def test_matrices_decay_and_nothing_else(model):
    groups = groups_by_name(model, OptimizerSettings(lr=0.1, weight_decay=0.3))
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert groups.keys() == trained.keys()
    assert {lr for lr, _ in groups.values()} == {0.1}
    for name, parameter in trained.items():
        spared = parameter.dim() < 2 or any(word in name for word in UNDECAYED)
        assert groups[name][1] == (0.0 if spared else 0.3), name
    decayed = {name for name, (_, decay) in groups.items() if decay}
    for part in ("attention.query.weight", "stem.color.weight", "project.text.weight"):
        assert any(name.endswith(part) for name in decayed), part
    for word in UNDECAYED:
        assert any(word in name for name in groups.keys() - decayed), word


def test_norms_of_convolutions_do_not_decay():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.GroupNorm(2, 4))
    assert decayed_names(model) == {"0.weight"}


def test_what_is_frozen_is_left_out(model):
    model.encoder.requires_grad_(False)
    try:
        names = groups_by_name(model, OptimizerSettings())
    finally:
        model.encoder.requires_grad_(True)
    assert not any(name.startswith("encoder.") for name in names)
    assert any(name.startswith("fusion.") for name in names)


def test_learning_rates_by_prefix(model):
    scales = {"encoder": 0.5, "encoder.image": 0.1, "head.captioning.decoder.position": 3.0}
    groups = groups_by_name(model, OptimizerSettings(lr=0.01, lr_scale=scales))
    for name, (lr, _) in groups.items():
        wanted = 1.0
        for prefix, scale in scales.items():  # the longest comes last
            wanted = scale if name == prefix or name.startswith(f"{prefix}.") else wanted
        assert lr == pytest.approx(0.01 * wanted), name


def test_prefixes_without_matches_are_reported_together(model):
    settings = OptimizerSettings(lr_scale={"encoder.imag": 1.0, "encoder": 1.0, "fusio": 2.0})
    with pytest.raises(ConfigError) as caught:
        make_optimizer(model, settings)
    places = (f"optimizer.lr_scale.{name}: " for name in ("encoder.imag", "fusio"))
    faults_mention(caught.value.faults, *((place, "parameter") for place in places))


@pytest.mark.parametrize(("warmup", "steps_up"), [(0.1, 10), (20.0, 20), (0.0, 0)])
def test_warm_up_then_half_a_cosine(warmup, steps_up):
    steps, low = 100, 0.01
    factor = warmup_cosine(OptimizerSettings(warmup=warmup, min_lr=low), steps)
    for step in range(steps_up):
        assert factor(step) == pytest.approx((step + 1) / (steps_up + 1))
    assert factor(steps_up) == pytest.approx(1.0)
    assert factor((steps_up + steps) // 2) == pytest.approx((1 + low) / 2)
    for step in range(steps_up, steps):
        done = (step - steps_up) / (steps - steps_up)
        wanted = low + (1 - low) * (1 + math.cos(math.pi * done)) / 2
        assert factor(step) == pytest.approx(wanted)
    assert factor(steps) == factor(steps + 50) == pytest.approx(low)


def test_the_schedule_keeps_the_scales(model):
    settings = OptimizerSettings(lr=0.1, warmup=4.0, lr_scale={"encoder": 0.5})
    optimizer = make_optimizer(model, settings)
    schedule = make_schedule(optimizer, settings, 20)
    for step in range(20):
        factor = warmup_cosine(settings, 20)(step)
        wanted = {0.1 * factor, 0.05 * factor}
        found = {group["lr"] for group in optimizer.param_groups}
        assert sorted(found) == pytest.approx(sorted(wanted))
        optimizer.step()
        schedule.step()


def test_a_step_decays_matrices_towards_zero():
    model = nn.Linear(3, 3)
    optimizer = make_optimizer(nn.Sequential(model), OptimizerSettings(lr=0.1, weight_decay=0.5))
    weight, bias = model.weight.detach().clone(), model.bias.detach().clone()
    (0 * model(torch.ones(1, 3))).sum().backward()
    optimizer.step()
    torch.testing.assert_close(model.weight, weight * 0.95)
    torch.testing.assert_close(model.bias, bias)


DEEP = ("encoder.image.depth=3", "encoder.text.depth=2")
STEMS = {"image": ("stem", "position"), "text": ("embedding", "neighbors", "position")}
DEPTH = {"image": 3, "text": 2}


def block_of(name):
    """(block, blocks) of a parameter of the tiny model: the stem is block 0; None for no block."""
    part, modality, *rest = name.split(".")
    if part != "encoder":
        return None
    if rest[:2] == ["transformer", "blocks"]:
        return 1 + int(rest[2]), 1 + DEPTH[modality]
    return (0, 1 + DEPTH[modality]) if rest[0] in STEMS[modality] else None


def test_learning_rates_decay_from_block_to_block():
    model = tiny_model("concat", HEADS, args=DEEP)
    scales = {"encoder.image": 0.1, "fusion": 3.0}
    settings = OptimizerSettings(lr=0.01, layer_decay=0.5, lr_scale=scales)
    seen = set()
    for name, (lr, _) in groups_by_name(model, settings).items():
        wanted = 0.01 * next((s for prefix, s in scales.items() if name.startswith(prefix)), 1.0)
        if found := block_of(name):
            i, n = found
            wanted *= 0.5 ** (n - i)
        assert lr == pytest.approx(wanted), name
        seen.add(found)
    assert seen == {None, *((i, 4) for i in range(4)), *((i, 3) for i in range(3))}


def test_blocks_that_are_frozen_count_and_are_left_out():
    model = tiny_model("concat", HEADS, args=DEEP)
    for part in model.encoder["image"].blocks()[:2]:
        part.requires_grad_(False)
    groups = groups_by_name(model, OptimizerSettings(lr=1.0, layer_decay=0.5))
    blocks = {block_of(name) for name in groups if name.startswith("encoder.image.")}
    assert blocks == {None, (2, 4), (3, 4)}
    first = "encoder.image.transformer.blocks.1.attention.query.weight"
    assert groups[first][0] == pytest.approx(0.5**2)


def test_no_layer_decay_unless_requested(model):
    groups = groups_by_name(model, OptimizerSettings(lr=0.1, layer_decay=1.0))
    assert {lr for lr, _ in groups.values()} == {0.1}


@pytest.mark.parametrize("decay", [0.0, -1.0, 1.5])
def test_a_layer_decay_that_means_nothing(model, decay):
    with raises(ConfigError, "optimizer.layer_decay: ", decay, " 0 ", " 1"):
        make_optimizer(model, OptimizerSettings(layer_decay=decay))


def test_a_layer_decay_without_layers():
    with raises(ConfigError, "optimizer.layer_decay", "encoder", "blocks"):
        make_optimizer(nn.Linear(2, 2), OptimizerSettings(layer_decay=0.5))
