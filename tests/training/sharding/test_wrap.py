"""A sharded model learns what DDP learns, whatever its parts are."""

import pytest
import torch

from mmtx_cli.training.sharding.wrap import blocks_to_shard, unsharded
from tests.tiny import tiny_model
from tests.training.sharding.sharding_cases import CASES, QUICK, results

pytestmark = pytest.mark.xdist_group("processes")


def check(found):
    for case, result in found.items():
        assert "error" not in result, (case, result["error"])
        assert result["difference"] < 1e-5, (case, result)
        assert result["learning"] > 0.2, (case, result)  # the share of gradients that are not zero


@pytest.mark.parametrize(("case", "count"), [("fusion bottleneck", 6), ("decoder=transformer", 3)])
def test_blocks_of_encoders_fusion_and_decoders_are_sharded(case, count):
    assert len(blocks_to_shard(CASES[case]())) == count


@pytest.mark.slow
def test_sharded_gradients_are_those_of_ddp(tmp_path):
    check(results(tmp_path, QUICK))


@pytest.mark.slow
def test_every_component_can_be_sharded(tmp_path):
    skipped, found = {}, {}
    for case, result in results(tmp_path, [*CASES]).items():
        is_skipped = "Skipped" in result.get("error", "")
        (skipped if is_skipped else found)[case] = result
    check(found)
    assert len(found) > 0.8 * len(CASES), skipped


def test_what_shares_a_weight_is_not_sharded_by_itself():
    model = tiny_model("bottleneck", ["captioning"])
    blocks = blocks_to_shard(model)
    layer = model.fusion.layers[0]["text"]
    assert layer in blocks
    linear = next(m for m in layer.modules() if isinstance(m, torch.nn.Linear))
    linear.weight = next(
        m for m in model.fusion.layers[0]["image"].modules() if isinstance(m, torch.nn.Linear)
    ).weight
    left = blocks_to_shard(model)
    assert layer not in left
    assert len(left) == len(blocks) - 2


def test_scalars_stay_whole():
    model = tiny_model("decision", ["contrastive"])
    assert [*unsharded(model)] == [model.head["contrastive"].log_scale]
