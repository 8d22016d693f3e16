import torch

from mmtx_cli.fusion.low_rank import LowRankFusion
from mmtx_cli.types import FUSED
from tests.fusion.streams import DIM, mean, streams
from tests.messages import raises


def test_it_is_tensor_fusion_by_a_tensor_of_low_rank():
    """Contracting the outer product with the weight tensor that the factors stand for."""
    given = streams(text=(3, 2), image=(2, 0), audio=(4, 1))
    fusion = LowRankFusion(DIM, [*given], rank=3).double()
    torch.nn.init.normal_(fusion.bias)
    torch.nn.init.normal_(fusion.weight)
    found = fusion(given)[FUSED].x
    factors = []
    for m in fusion.modalities:
        linear = fusion.factor[m]
        full = torch.cat([linear.bias[:, None], linear.weight], dim=1)  # constant first
        factors.append(full.unflatten(0, (3, DIM)))
    tensor = torch.einsum("r,roa,rob,roc->oabc", fusion.weight[:, 0], *factors)
    for i in range(2):
        z = []
        for m in fusion.modalities:
            there = given[m].present[i]
            x = fusion.norm[m](mean(given[m], i)) if there else torch.zeros(DIM).double()
            z.append(torch.cat([torch.ones(1).double(), x]))
        product = torch.einsum("a,b,c->abc", *z)
        expected = torch.einsum("oabc,abc->o", tensor, product) + fusion.bias
        torch.testing.assert_close(found[i, 0], expected)


def test_an_invalid_rank():
    with raises(ValueError, "rank=0: ", " 1"):
        LowRankFusion(DIM, ["text"], rank=0)
