"""Resizing with NumPy gives torch's pixels, all of them."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.media.geometry import FITS
from mmtx_cli.media.resize import fit_pixels, resize_pixels
from mmtx_cli.media.transform import fit_array, resize, to_tensor

sides = st.integers(1, 150)


def noise(height, width, seed, extreme=False):
    """Noise, or only black and white, where rounding errors would show most."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    return np.where(pixels > 127, 255, 0).astype(np.uint8) if extreme else pixels


@settings(max_examples=150, deadline=None)
@given(sides, sides, sides, sides, st.integers(0, 9), st.booleans())
def test_resizing_is_that_of_torch(height, width, new_height, new_width, seed, extreme):
    pixels = noise(height, width, seed, extreme)
    wanted = resize(to_tensor(pixels), new_height, new_width)
    found = resize_pixels(pixels, new_height, new_width)
    assert torch.equal(to_tensor(found), wanted)


@settings(max_examples=60, deadline=None)
@given(sides, sides, st.integers(1, 80), st.sampled_from(FITS), st.integers(0, 9))
def test_squares_are_those_of_torch(height, width, size, how, seed):
    pixels = noise(height, width, seed)
    assert (fit_pixels(pixels, size, how) == fit_array(pixels, size, how)).all()


@pytest.mark.parametrize("how", FITS)
def test_large_pictures(how):
    pixels = noise(2003, 1501, 1)
    assert (fit_pixels(pixels, 224, how) == fit_array(pixels, 224, how)).all()
