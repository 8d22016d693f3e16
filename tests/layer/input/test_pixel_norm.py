import pytest
import torch

from mmtx_cli.layer.input.pixel_norm import IMAGENET_MEAN, IMAGENET_STD, Pixels


@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_normalizes_each_channel(lead):
    pictures = torch.randint(0, 256, (*lead, 3, 4, 5), dtype=torch.uint8)
    found = Pixels()(pictures)
    assert found.dtype == torch.float32
    for c in range(3):
        wanted = (pictures.double() / 255 - IMAGENET_MEAN[c]) / IMAGENET_STD[c]
        torch.testing.assert_close(
            found[..., c, :, :].double(), wanted[..., c, :, :], rtol=1e-5, atol=1e-6
        )


def test_floats_are_in_the_unit_range_already():
    pictures = torch.randint(0, 256, (2, 3, 4, 5), dtype=torch.uint8)
    pixels = Pixels([0.5], [0.25])
    torch.testing.assert_close(pixels(pictures.float() / 255), pixels(pictures))


def test_is_no_part_of_a_checkpoint():
    assert Pixels().state_dict() == {}
