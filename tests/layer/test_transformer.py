import pytest
import torch
from torch import nn

from mmtx_cli.layer.transformer import FeedForward, Transformer


def as_torch(ours):
    """torch's own pre-norm encoder with our weights."""
    layer = nn.TransformerEncoderLayer(
        16, 4, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    theirs = nn.TransformerEncoder(layer, len(ours.blocks), norm=nn.LayerNorm(16))
    theirs.norm.load_state_dict(ours.norm.state_dict())
    with torch.no_grad():
        for mine, other in zip(ours.blocks, theirs.layers, strict=True):
            at = mine.attention
            other.self_attn.in_proj_weight.copy_(torch.cat([at.query.weight, at.key_value.weight]))
            other.self_attn.in_proj_bias.copy_(torch.cat([at.query.bias, at.key_value.bias]))
            other.self_attn.out_proj.load_state_dict(at.out.state_dict())
            other.norm1.load_state_dict(mine.norm1.state_dict())
            other.norm2.load_state_dict(mine.norm2.state_dict())
            other.linear1.load_state_dict(mine.feed_forward[0].state_dict())
            other.linear2.load_state_dict(mine.feed_forward[3].state_dict())
    return theirs


@pytest.fixture
def transformer():
    """With norms that do something."""
    made = Transformer(16, 2, 4, mlp_ratio=2.0)
    for name, parameter in made.named_parameters():
        if "norm" in name:
            nn.init.normal_(parameter, mean=float(name.endswith("weight")), std=0.3)
    return made


@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
def test_agrees_with_torch(transformer):
    x = torch.randn(3, 5, 16)
    mask = torch.arange(5) < torch.tensor([[5], [2], [1]])
    theirs = as_torch(transformer).train()  # the fast path of evaluation zeroes what is masked
    found, wanted = transformer(x, mask), theirs(x, src_key_padding_mask=~mask)
    torch.testing.assert_close(found[mask], wanted[mask], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(transformer(x), theirs(x), atol=1e-5, rtol=1e-5)


def test_masked_tokens_are_seen_by_nobody(transformer):
    x, mask = torch.randn(2, 4, 16), torch.tensor([[1, 0, 1, 0], [0, 0, 0, 0]]).bool()
    other = torch.where(mask[..., None], x, 100.0)
    assert torch.equal(transformer(x, mask)[mask], transformer(other, mask)[mask])


def test_hidden_width():
    assert FeedForward(16, 2.5)[0].out_features == 40
