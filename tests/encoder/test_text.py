import torch
from torch import nn

from mmtx_cli.encoder.text.transformer import TransformerTextEncoder
from mmtx_cli.types import ModalityInput
from tests.messages import raises

SMALL = {"vocab_size": 20, "width": 16, "depth": 1, "num_heads": 2, "max_length": 6}


def text(*tokens):
    data = torch.tensor([tokens])
    return ModalityInput(data, torch.ones_like(data, dtype=torch.bool))


def test_where_a_token_stands_matters():
    encoder = TransformerTextEncoder(**SMALL).eval()
    there, back = encoder(text(5, 6, 7)).x, encoder(text(7, 6, 5)).x
    assert not torch.allclose(there.flip(1), back, atol=1e-3)
    with torch.no_grad():
        encoder.position.zero_()
        encoder.neighbors.weight.zero_()
    torch.testing.assert_close(encoder(text(5, 6, 7)).x.flip(1), encoder(text(7, 6, 5)).x)


def test_the_convolution_reads_each_token_and_its_neighbors():
    encoder = TransformerTextEncoder(**(SMALL | {"depth": 0})).eval()
    encoder.transformer.norm = nn.Identity()
    changed = encoder(text(5, 6, 7, 8, 9)).x - encoder(text(5, 6, 10, 8, 9)).x
    assert (changed[0] != 0).any(dim=1).tolist() == [False, True, True, True, False]


def test_every_token_sees_all_others():
    encoder = TransformerTextEncoder(**SMALL).eval()
    changed = encoder(text(5, 6, 7)).x - encoder(text(5, 6, 8)).x
    assert changed.abs().amax(dim=2).min() > 1e-4


def test_heads_share_the_width():
    with raises(ValueError, "width 16 ", "multiple", "num_heads=3"):
        TransformerTextEncoder(**(SMALL | {"num_heads": 3}))
