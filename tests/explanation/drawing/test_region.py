"""Maps lie over the places of the original picture that they are of."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.explanation.drawing.region import WHOLE, over_picture, read_region
from mmtx_cli.media.geometry import FITS
from mmtx_cli.media.transform import fit

SIZE = 24


@given(st.integers(20, 200), st.integers(20, 200), st.sampled_from(FITS), st.data())
@settings(deadline=None, max_examples=200)
def test_where_a_spot_of_the_picture_is_read(height, width, how, data):
    """A bright spot is resized as for a model; undone, its place is where it was."""
    radius = max(2, max(height, width) // SIZE)
    row = data.draw(st.integers(radius, height - 1 - radius))
    column = data.draw(st.integers(radius, width - 1 - radius))
    picture = torch.zeros(3, height, width, dtype=torch.uint8)
    spot = slice(row - radius, row + radius + 1), slice(column - radius, column + radius + 1)
    picture[(slice(None), *spot)] = 255
    square = fit(picture, SIZE, how)[0].double()
    region = read_region(height, width, SIZE, how)
    if square[[0, -1]].any() or square[:, [0, -1]].any() or not square.any():
        return  # at the edge of what is read, or outside
    place = torch.arange(SIZE).double() + 0.5
    found = [
        (first + (last - first) * (square.sum(dim=axis) @ place / square.sum() / SIZE)).item()
        for axis, first, last in ((1, region.top, region.bottom), (0, region.left, region.right))
    ]
    half = 0.5 * max(height, width, SIZE) / SIZE  # half a pixel of the square
    assert abs(found[0] * height - (row + 0.5)) <= half
    assert abs(found[1] * width - (column + 0.5)) <= half


@given(st.integers(20, 90), st.integers(20, 90), st.sampled_from(FITS))
@settings(deadline=None, max_examples=60)
def test_what_is_not_read_has_no_map(height, width, how):
    """The pixels of the map are those that reach the model."""
    region = read_region(height, width, SIZE, how)
    (found,) = over_picture(torch.ones(1, 6, 6), region, height, width)
    read = found > 0
    row, column = height // 2, width // 2
    assert read[row, column]
    seen = fit(torch.full((3, height, width), 200, dtype=torch.uint8), SIZE, how)[0] > 0
    assert seen.any()
    if how == "crop":
        side = min(height, width)
        for axis, length in ((1, height), (0, width)):
            count = read.any(dim=axis).sum().item()
            assert abs(count - side) <= 2 + length / SIZE
    else:
        assert read.all()
    if how == "pad":
        share = seen.double().mean().item()
        inside = 1 / ((region.bottom - region.top) * (region.right - region.left))
        assert share == pytest.approx(inside, abs=1e-9)


def test_a_map_is_interpolated():
    maps = torch.tensor([[[0.0, 1.0], [0.0, 1.0]]])
    (found,) = over_picture(maps, WHOLE, 4, 8)
    assert found.shape == (4, 8)
    torch.testing.assert_close(found[0], found[3])
    assert (found[0].diff() >= 0).all()
    assert found[0, 0] == 0
    assert found[0, -1] == 1
