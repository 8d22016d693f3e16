import torch

from mmtx_cli.fusion.decision import DecisionFusion
from mmtx_cli.types import Tokens
from tests.messages import raises


def test_adds_nothing():
    fusion = DecisionFusion(4, ["text", "image"])
    given = {"text": Tokens(torch.randn(1, 2, 4), torch.ones(1, 2, dtype=torch.bool))}
    assert fusion(given) is given
    assert fusion.streams == ("image", "text")
    assert not list(fusion.parameters())


def test_an_invalid_vote():
    with raises(ValueError, "vote='most' ", "mean, weights, product, stacking"):
        DecisionFusion(4, ["text", "image"], vote="most")
