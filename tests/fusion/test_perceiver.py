import pytest
import torch

from mmtx_cli.fusion.perceiver import PerceiverFusion
from mmtx_cli.types import FUSED
from tests.fusion.streams import DIM, moved, streams
from tests.messages import raises


def test_a_fixed_number_of_tokens():
    fusion, given = PerceiverFusion(DIM, ["text", "image"], 5, 1, 2).double(), streams()
    found = fusion(given)[FUSED]
    assert found.x.shape == (4, 5, DIM)
    assert found.mask.tolist() == [[True] * 5] * 3 + [[False] * 5]


def test_latents_read_every_modality():
    fusion, given = PerceiverFusion(DIM, ["text", "image"], 5, 1, 2).double(), streams()
    for name, rows in (("text", [0, 1]), ("image", [0, 2])):
        change = (fusion(moved(given, name))[FUSED].x - fusion(given)[FUSED].x).abs().amax((1, 2))
        assert [i for i in range(4) if change[i] > 1e-6] == rows


def test_one_reading_by_hand():
    fusion = PerceiverFusion(DIM, ["text"], 3, 1, 1).double()
    given = streams(text=(4,))
    x = fusion.latents
    context = fusion.norm_input(given["text"].x[0] + fusion.sequenced.kind["text"])
    read = fusion.read[0]
    key, value = read.key_value(context).chunk(2, dim=1)
    weight = (read.query(fusion.norm[0](x)) @ key.T / DIM**0.5).softmax(dim=1)
    x = fusion.block[0]((x + read.out(weight @ value))[None])
    torch.testing.assert_close(fusion(given)[FUSED].x, fusion.norm_out(x))


@pytest.mark.parametrize("sizes", [{"num_latents": 0}, {"depth": 0}])
def test_invalid_sizes(sizes):
    ((key, size),) = sizes.items()
    with raises(ValueError, f"{key}={size}", " 1"):
        PerceiverFusion(DIM, ["text"], **sizes)
