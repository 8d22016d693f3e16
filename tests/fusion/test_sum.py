import torch

from mmtx_cli.fusion.sum import SumFusion
from mmtx_cli.types import FUSED, Tokens
from tests.fusion.streams import DIM, mean, streams


def test_a_linear_layer_a_modality_and_their_sum():
    fusion, given = SumFusion(DIM, ["text", "image"]).double(), streams()
    found = fusion(given)[FUSED]
    part = {m: lambda i, m=m: fusion.linear[m](fusion.norm[m](mean(given[m], i))) for m in given}
    torch.testing.assert_close(found.x[0, 0], part["text"](0) + part["image"](0))
    torch.testing.assert_close(found.x[1, 0], part["text"](1))
    torch.testing.assert_close(found.x[2, 0], part["image"](2))
    assert found.mask[:, 0].tolist() == [True, True, True, False]


def test_modalities_do_not_interact():
    """f(a, b) - f(a, b') - f(a', b) + f(a', b') = 0: the mark of an additive function."""
    fusion = SumFusion(DIM, ["text", "image"]).double()
    one = streams(text=(3,) * 4, image=(2,) * 4)
    text, image = one["text"].x, one["image"].x
    rows = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
    crossed = {
        "text": Tokens(text[rows[0]], one["text"].mask),
        "image": Tokens(image[rows[1]], one["image"].mask),
    }
    a, b, c, d = fusion(crossed)[FUSED].x[:, 0]
    torch.testing.assert_close(a - b - c + d, torch.zeros_like(a))
