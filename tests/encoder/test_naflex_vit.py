"""The encoder of pictures of any aspect ratio, beyond the contract."""

import pytest
import torch

from mmtx_cli.encoder.image.naflex_vit import FactorizedPosition, NaFlexViTImageEncoder
from mmtx_cli.media.naflex import HEADER, to_patches
from mmtx_cli.types import ModalityInput
from tests.messages import raises
from tests.tiny import same

SMALL = {"width": 16, "depth": 2, "num_heads": 2, "patch_size": 8}


def field_of(*pictures):
    """Samples of one picture each, padded to the longest."""
    rows = [to_patches(picture, 8, 64) for picture in pictures]
    data = torch.zeros(len(rows), max(map(len, rows)), rows[0].shape[1], dtype=torch.uint8)
    mask = torch.zeros(data.shape[:2], dtype=torch.bool)
    for i, row in enumerate(rows):
        data[i, : len(row)], mask[i, : len(row)] = row, True
    return ModalityInput(data, mask)


def picture(height, width, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, height, width), dtype=torch.uint8, generator=random)


def test_a_picture_is_encoded_alike_alone_and_beside_longer_ones():
    torch.manual_seed(0)
    encoder = NaFlexViTImageEncoder(**SMALL).eval()
    wide, tall, tiny = picture(16, 40), picture(64, 24), picture(5, 5)
    together = encoder(field_of(wide, tall, tiny))
    assert together.mask.sum(dim=1).tolist() == [10, 24, 1]
    for i, one in enumerate((wide, tall, tiny)):
        same(together.x[i][together.mask[i]], encoder(field_of(one)).x[0], 1e-5)


def test_the_order_of_patches_does_not_matter():
    """Their places are part of the patches."""
    encoder = NaFlexViTImageEncoder(**SMALL).eval()
    field = field_of(picture(32, 24))
    order = torch.randperm(12)
    turned = encoder(ModalityInput(field.data[:, order], field.mask))
    same(turned.x, encoder(field).x[:, order], 1e-5)


@pytest.mark.parametrize("count", [2, 4, 7, 8])
def test_positions_are_those_of_the_grid_and_between_them(count):
    """As many as there are learned are themselves; others are as torch interpolates them."""
    position = FactorizedPosition(8, 4)
    torch.nn.init.normal_(position.rows)
    torch.nn.init.zeros_(position.columns)
    places = torch.tensor([[[i, 0, count - 1, 0, 0] for i in range(count)]])
    wanted = torch.nn.functional.interpolate(
        position.rows.T[None], count, mode="linear", align_corners=False
    )[0].T
    same(position(places)[0], wanted, 1e-6)


def test_shapes_and_further_pictures_are_told_apart():
    position = FactorizedPosition(16, 4)
    torch.nn.init.normal_(position.heights)
    middle = [[[1, 1, 2, 2, 0]], [[3, 1, 6, 2, 0]], [[1, 1, 2, 2, 1]]]  # the same relative place
    a, b, c = (position(torch.tensor([places])) for places in middle)
    assert not torch.allclose(a, b)
    assert not torch.allclose(a, c)


def test_what_it_refuses():
    encoder = NaFlexViTImageEncoder(**SMALL)
    square = ModalityInput(torch.zeros(1, 1, 3, 64, 64, dtype=torch.uint8), torch.ones(1, 1) > 0)
    with raises(ValueError, "patch_size=8", "data.resize_mode=naflex"):
        encoder(square)
    other = ModalityInput(torch.zeros(1, 1, HEADER + 3, dtype=torch.uint8), torch.ones(1, 1) > 0)
    with raises(ValueError, "patch_size=8"):
        encoder(other)
    with raises(ValueError, "grid_size=1"):
        NaFlexViTImageEncoder(**SMALL, grid_size=1)
