"""Pictures in their own aspect ratio, as patches."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.media.naflex import HEADER, grid, shorter_side, to_patches
from mmtx_cli.media.transform import resize

SIDES = st.integers(1, 5000)


@given(SIDES, SIDES, st.sampled_from([4, 14, 16, 32]), st.integers(1, 1024))
def test_the_largest_grid_within_the_limit(height, width, patch, most):
    rows, columns = grid(height, width, patch, most)
    assert 1 <= rows * columns <= most
    assert max(rows, columns) <= 256
    assert rows <= math.ceil(height / patch)  # never enlarged by more than a part of a patch
    assert columns <= math.ceil(width / patch)
    assert grid(width, height, patch, most) == (columns, rows)
    assert min(rows, columns) * patch <= shorter_side(patch, most)
    whole = math.ceil(height / patch) * math.ceil(width / patch)
    if whole <= most and max(height, width) <= 256 * patch:
        assert rows * columns == whole
    elif min(rows, columns) > 1 and max(rows, columns) < 256:
        # one more row and column would be too many, and the aspect ratio is kept
        assert (rows + 1) * (columns + 1) > most
        assert abs(rows * width - columns * height) <= max(height, width) + 1


def test_patches_have_their_places_and_pixels():
    picture = torch.randint(0, 256, (3, 20, 28), dtype=torch.uint8)
    found = to_patches(picture, 8, 100, index=2)
    rows, columns = 3, 4
    assert found.shape == (12, HEADER + 3 * 64)
    pixels = resize(picture, 24, 32)
    for i, patch in enumerate(found):
        row, column = divmod(i, columns)
        assert patch[:HEADER].tolist() == [row, column, rows - 1, columns - 1, 2]
        part = pixels[:, row * 8 : row * 8 + 8, column * 8 : column * 8 + 8]
        assert torch.equal(patch[HEADER:], part.flatten())


@pytest.mark.parametrize("size", [(3, 1, 4000), (3, 3000, 1), (3, 500, 375)])
def test_any_shape_has_at_most_so_many(size):
    assert 1 <= len(to_patches(torch.zeros(size, dtype=torch.uint8), 16, 64)) <= 64
