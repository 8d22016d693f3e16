import torch

from mmtx_cli.fusion.tensor import TensorFusion
from mmtx_cli.types import FUSED
from tests.fusion.streams import DIM, mean, streams
from tests.messages import raises

NAMES = ["audio", "image", "text"]


def test_outer_product_of_all_modalities():
    given = streams(text=(3, 2), image=(2, 0), audio=(4, 1))
    fusion = TensorFusion(DIM, NAMES, width=3).double()
    found = fusion(given)[FUSED].x
    for i in range(2):
        z = [
            torch.cat([torch.ones(1).double(), fusion.reduce[m](fusion.norm[m](mean(given[m], i)))])
            if given[m].present[i]
            else torch.eye(4).double()[0]
            for m in NAMES
        ]
        product = torch.einsum("a,b,c->abc", *z)
        torch.testing.assert_close(found[i, 0], fusion.out(product.flatten()))


def test_too_many_products_are_refused():
    with raises(ValueError, "width=32 ", "1,185,921 products", "4 modalities", "fusion=low_rank"):
        TensorFusion(DIM, ["a", "b", "c", "d"], width=32)
    with raises(ValueError, "width=0"):
        TensorFusion(DIM, ["a"], width=0)
