"""Sharded checkpoints of any content are read whole, or refused."""

import json

import pytest
import torch
from safetensors.torch import save_file

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.sharded import folder, tensors
from tests.messages import raises

CONFIG = {"config": {}, "optimizer_states": [{"state": {0: {"step": torch.tensor(3.0)}}}]}


def shard(target, number, parts):
    """A file with parts of tensors: {name: (offset, tensor)}."""
    info = {n: {"saved_offsets": offset} for n, (offset, _) in parts.items()}
    path = target / f"shard-{number:05}-model-00001-of-00001.safetensors"
    metadata = {"DCP_SHARDING_INFO": json.dumps(info), "DCP_VERSION": "1.0"}
    save_file({n: x.clone() for n, (_, x) in parts.items()}, path, metadata)


def listed(target):
    """Write what belongs to the shards."""
    (target / folder.CHECKSUMS).unlink(missing_ok=True)
    found = {path.name: folder.checksum(path) for path in target.iterdir()}
    (target / folder.CHECKSUMS).write_text(json.dumps(found))


@pytest.fixture
def checkpoint(tmp_path):
    """A matrix of five rows in three files, one of them without any, and a scalar."""
    whole = torch.arange(10.0).view(5, 2)
    shard(tmp_path, 1, {"state_dict.w": ([0, 0], whole[:3]), "optimizer.0.0.x": ([0], whole[0])})
    shard(tmp_path, 2, {"state_dict.w": ([3, 0], whole[3:]), "state_dict.s": ([], whole[0, 1])})
    shard(tmp_path, 3, {"state_dict.w": ([5, 0], whole[5:])})
    torch.save(CONFIG, tmp_path / folder.META)
    listed(tmp_path)
    return tmp_path


def test_parts_become_whole(checkpoint):
    found = tensors.load_sharded(checkpoint)
    torch.testing.assert_close(found["state_dict"]["w"], torch.arange(10.0).view(5, 2))
    assert found["state_dict"]["s"].item() == 1
    entry = found["optimizer_states"][0]["state"][0]
    assert (entry["step"].item(), entry["x"].tolist()) == (3, [0, 1])
    meta, parts = tensors.split(found)
    assert parts.keys() == {"state_dict.w", "state_dict.s", "optimizer.0.0.x"}
    assert tensors.joined(meta, parts)["optimizer_states"][0]["state"][0].keys() == {"step", "x"}
    without = tensors.load_sharded(checkpoint, optimizer=False)
    assert without["optimizer_states"][0]["state"][0].keys() == {"step"}


@pytest.mark.parametrize(
    "part",
    [
        ([4, 0], torch.zeros(1, 2)),  # a row is missing
        ([2, 0], torch.zeros(3, 2)),  # one is there twice
        ([3, 0], torch.zeros(2, 1)),  # narrower
        ([3, 1], torch.zeros(2, 2)),  # further to the right
        ([10**12, 0], torch.zeros(2, 2)),  # far away: that much memory is not taken
        ([-3, 0], torch.zeros(2, 2)),
        ([3], torch.zeros(2)),
        (["x", 0], torch.zeros(2, 2)),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(checkpoint, part):
    shard(checkpoint, 2, {"state_dict.w": part})
    listed(checkpoint)
    with raises(CheckpointError, f"{checkpoint}: ", "use another checkpoint"):
        tensors.load_sharded(checkpoint)


@pytest.mark.parametrize(
    "name", ["optimizer.1.0.x", "optimizer.0.7.x", "optimizer.0.x", "optimizer.0.a.x"]
)
def test_a_state_of_no_parameter_is_refused(checkpoint, name):
    shard(checkpoint, 3, {name: ([0], torch.zeros(1))})
    listed(checkpoint)
    with raises(CheckpointError, f"{checkpoint}: ", folder.META):
        tensors.load_sharded(checkpoint)


class Code:
    def __reduce__(self):
        return print, ("executed",)


def test_code_is_not_executed(checkpoint, capsys):
    torch.save(CONFIG | {"more": Code()}, checkpoint / folder.META)
    listed(checkpoint)
    with raises(CheckpointError, folder.META):
        tensors.load_sharded(checkpoint)
    assert "executed" not in capsys.readouterr().out
