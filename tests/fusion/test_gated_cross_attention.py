import torch

from mmtx_cli.fusion.gated_cross_attention import GatedCrossAttentionFusion
from mmtx_cli.types import FUSED
from tests.fusion.streams import DIM, moved, streams
from tests.messages import raises


def make_fusion(**settings):
    return GatedCrossAttentionFusion(
        DIM, ["text", "image"], num_heads=2, depth=2, **settings
    ).double()


def test_it_begins_by_changing_nothing():
    given = streams()
    found = make_fusion(query=["text"])(given)[FUSED]
    assert torch.equal(found.x[:2], given["text"].x[:2])
    assert torch.equal(found.mask[:2], given["text"].mask[:2])
    assert found.mask[2].tolist() == [True, False, False]  # the stand-in of a text


def test_gates_open_by_learning():
    fusion, given = make_fusion(query=["text"]), streams()
    target = torch.randn(DIM).double()
    optimizer = torch.optim.SGD(fusion.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (fusion(given)[FUSED].x[0] - target).square().sum().backward()
        optimizer.step()
    assert all(layer.gate.abs().min() > 1e-4 for layer in fusion.layers["text"])
    change = fusion(moved(given, "image"))[FUSED].x - fusion(given)[FUSED].x
    assert change[0].abs().max() > 1e-6


def test_one_layer_by_hand():
    fusion, given = make_fusion(query=["text"]), streams()
    layer = fusion.layers["text"][0]
    del fusion.layers["text"][1]
    torch.nn.init.constant_(layer.gate, 0.5)
    context = fusion.norm["text"](given["image"].x[:1] + fusion.sequenced["text"].kind["image"])
    x, gate = given["text"].x[:1], torch.tensor(0.5).double().tanh()
    x = x + gate * layer.attention(layer.norm1(x), context)
    x = x + gate * layer.feed_forward(layer.norm2(x))
    torch.testing.assert_close(fusion(given)[FUSED].x[:1], x)


def test_invalid_names():
    with raises(ValueError, "context: ", "modality 'sound'"):
        make_fusion(context=["sound"])
    with raises(ValueError, "query: ", "'image'", "context"):
        make_fusion(query=["image"], context=["image"])
