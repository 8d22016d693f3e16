import pytest
import torch

from mmtx_cli.fusion.bottleneck import BottleneckFusion
from mmtx_cli.types import FUSED
from tests.fusion.streams import DIM, moved, streams
from tests.messages import raises


def parts(fusion, given):
    """Shared tokens, image and text of the fused stream."""
    found = fusion(given)[FUSED].x
    shared = fusion.bottleneck.shape[0]
    return found.split([shared, given["image"].x.shape[1], given["text"].x.shape[1]], dim=1)


@pytest.mark.parametrize("depth", [1, 2])
def test_modalities_meet_in_the_shared_tokens_only(depth):
    """What the image learns of the text passes through them, so it comes a layer later."""
    fusion, given = BottleneckFusion(DIM, ["text", "image"], 2, depth, 2).double(), streams()
    before, after = parts(fusion, given), parts(fusion, moved(given, "text"))
    shared, image, text = (
        (a - b).abs().amax((1, 2)) > 1e-7 for a, b in zip(before, after, strict=True)
    )
    assert shared[0]
    assert text[0]
    assert bool(image[0]) == (depth == 2)


def test_the_shared_tokens_are_the_mean_over_present_modalities():
    fusion, given = BottleneckFusion(DIM, ["text", "image"], 2, 1, 2).double(), streams()
    shared = parts(fusion, given)[0]
    for i, kept in enumerate([("image", "text"), ("text",), ("image",)]):
        each = []
        for m in kept:
            own = given[m].x[i, given[m].mask[i]]
            both = torch.cat([fusion.bottleneck, own])[None]
            each.append(fusion.layers[0][m](both)[0, :2])
        torch.testing.assert_close(shared[i], fusion.norm(torch.stack(each).mean(dim=0)))


@pytest.mark.parametrize("sizes", [{"num_bottlenecks": 0}, {"depth": 0}])
def test_invalid_sizes(sizes):
    ((key, size),) = sizes.items()
    with raises(ValueError, f"{key}={size}", " 1"):
        BottleneckFusion(DIM, ["text"], **sizes)
