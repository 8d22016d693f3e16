import torch

from mmtx_cli.fusion.pooled_concat import PooledConcatFusion
from mmtx_cli.types import FUSED
from tests.fusion.streams import DIM, mean, streams


def test_vectors_side_by_side():
    fusion, given = PooledConcatFusion(DIM, ["text", "image"]).double(), streams()
    found = fusion(given)[FUSED]
    for i, kept in enumerate([("image", "text"), ("text",), ("image",)]):
        each = [
            fusion.norm[m](mean(given[m], i)) if m in kept else fusion.absent[m]
            for m in ("image", "text")
        ]
        torch.testing.assert_close(found.x[i, 0], fusion.mlp(torch.cat(each)))
    assert not found.x[3].any()
