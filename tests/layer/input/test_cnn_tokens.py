import pytest
import torch
from torch import nn

from mmtx_cli.layer.input.cnn_tokens import FeatureMap


def feature_map(freeze):
    body = nn.Sequential(nn.Conv2d(3, 6, 4, stride=4), nn.BatchNorm2d(6), nn.ReLU())
    return FeatureMap(body, 6, freeze, grid=2, width=8, depth=1, num_heads=2, dropout=0.0)


def test_one_token_a_cell_row_by_row():
    made, pixels = feature_map(freeze=False).eval(), torch.randn(2, 3, 8, 12)
    assert made(pixels).shape == (2, 2 * 3, 8)
    features = made.features(pixels)
    assert features.shape == (2, 6, 2, 3)
    torch.testing.assert_close(made.pooled(pixels)[:, 0], features.mean(dim=(2, 3)))


@pytest.mark.parametrize("freeze", [False, True])
def test_a_frozen_body_stays_as_it_is(freeze):
    made = feature_map(freeze).train()
    before = {name: x.clone() for name, x in made.body.state_dict().items()}
    made(torch.randn(4, 3, 8, 8) + 3).sum().backward()
    assert all(torch.equal(x, before[name]) for name, x in made.body.state_dict().items()) == freeze
    assert all((p.grad is None) == freeze for p in made.body.parameters())
    assert all(p.grad is not None for p in made.transformer.parameters())
    assert made.transformer.training
    assert made.body.training != freeze
