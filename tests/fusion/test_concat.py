import torch

from mmtx_cli.fusion.concat import ConcatFusion
from mmtx_cli.types import FUSED, Tokens

DIM = 8


def streams():
    return {
        "text": Tokens(torch.randn(2, 3, DIM), torch.tensor([[1, 1, 0], [0, 0, 0]]).bool()),
        "image": Tokens(torch.randn(2, 2, DIM), torch.ones(2, 2, dtype=torch.bool)),
    }


def test_one_sequence_in_the_order_of_the_names():
    fusion, given = ConcatFusion(DIM, ["text", "image"], depth=1, num_heads=2), streams()
    found = fusion(given)
    assert fusion.modalities == ("image", "text")
    assert fusion.streams == ("image", "text", FUSED)
    assert found[FUSED].mask.tolist() == [[True] * 4 + [False], [True, True] + [False] * 3]
    assert all(found[name] is given[name] for name in given)


def test_modalities_look_at_each_other():
    fusion, given = ConcatFusion(DIM, ["text", "image"], depth=1, num_heads=2), streams()
    other = {**given, "text": Tokens(given["text"].x + torch.randn(3, DIM), given["text"].mask)}
    moved = (fusion(given)[FUSED].x - fusion(other)[FUSED].x).abs().amax(dim=2)
    assert moved[0, :2].min() > 1e-4  # the picture has seen the text
    assert not moved[1, :2].any()  # where there is a text


def test_it_knows_which_modality_is_which():
    fusion = ConcatFusion(DIM, ["text", "image"], depth=1, num_heads=2)
    same = Tokens(torch.randn(1, 2, DIM), torch.ones(1, 2, dtype=torch.bool))
    image, text = fusion({"text": same, "image": same})[FUSED].x.chunk(2, dim=1)
    assert not torch.allclose(image, text, atol=1e-3)
