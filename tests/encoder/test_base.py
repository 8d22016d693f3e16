import torch
from torch import nn

from mmtx_cli.encoder.base import Encoder, encode_pictures, real_content
from mmtx_cli.types import ModalityInput, Tokens


def test_absent_content_is_zeroed():
    data = torch.randint(1, 9, (2, 3, 2, 2))
    mask = torch.tensor([[1, 0, 1], [0, 0, 0]]).bool()
    kept = real_content(ModalityInput(data, mask))
    assert torch.equal(kept[mask], data[mask])
    assert not kept[~mask].any()


def test_the_pictures_of_a_sample_follow_each_other():
    mask = torch.tensor([[1, 0], [1, 1]]).bool()
    data = torch.arange(4.0).view(2, 2, 1, 1, 1).expand(2, 2, 3, 2, 2)

    def encode(pictures):
        assert pictures.shape == (4, 3, 2, 2)
        number = pictures[:, 0, 0, 0]
        return torch.stack([number, number + 0.5], dim=1)[..., None]

    tokens = encode_pictures(ModalityInput(data, mask), encode)
    assert tokens.x[..., 0].tolist() == [[0.0, 0.5, 0.0, 0.5], [2.0, 2.5, 3.0, 3.5]]
    assert tokens.mask.tolist() == [[True, True, False, False], [True] * 4]


class Identity(Encoder):
    """Gives what it is given."""

    width = 2

    def __init__(self):
        nn.Module.__init__(self)

    def forward(self, field):
        return Tokens(field.data, field.mask)


def test_an_encoder_sums_itself_up_by_its_mean():
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]]).bool()
    data = torch.randn(2, 3, 2)
    summary = Identity().pooled_features(ModalityInput(data, mask))
    torch.testing.assert_close(summary[0], data[0, :2].mean(dim=0))
    assert not summary[1].any()
