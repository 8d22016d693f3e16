"""What is hidden and what is shown: a division of what is real."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.counter_rng.tensors import id_tensor, uniform
from mmtx_cli.layer.masking import MASKINGS, split_patches


def drawn(moments, places, real, ratio, masking):
    """Shown and hidden places of samples that have so many real moments."""
    mask = (torch.arange(moments) < torch.tensor(real)[:, None]).repeat_interleave(places, dim=1)
    scores = uniform(id_tensor(str(i) for i in range(len(mask))), mask.shape[1], "test")
    return mask, *split_patches(mask, ratio, masking, places, scores)


@given(
    moments=st.integers(1, 5),
    places=st.integers(1, 9),
    ratio=st.floats(0.01, 1.0),
    masking=st.sampled_from(MASKINGS),
    data=st.data(),
)
def test_every_real_patch_is_shown_or_hidden(moments, places, ratio, masking, data):
    real = data.draw(st.lists(st.integers(0, moments), min_size=1, max_size=4))
    mask, shown, hidden = drawn(moments, places, real, ratio, masking)
    for i, count in enumerate(real):
        seen = shown.index[i][shown.mask[i]].tolist()
        away = hidden.index[i][hidden.mask[i]].tolist()
        assert sorted(seen + away) == mask[i].nonzero().flatten().tolist()
        assert bool(seen) == (count > 0)
        groups, size = (1, count * places) if masking == "random" else (count, places)
        expected = groups * min(math.floor(size * ratio), size - 1) if count else 0
        assert abs(len(away) - expected) <= groups * (masking == "random")


def test_a_tube_is_the_same_places_in_every_moment():
    _, shown, _ = drawn(3, 16, [3], 0.75, "tube")
    each = (shown.index.view(3, -1) - 16 * torch.arange(3)[:, None]).sort(dim=1).values
    assert (each == each[0]).all()
    _, shown, _ = drawn(3, 16, [3], 0.75, "moment")
    each = (shown.index.view(3, -1) - 16 * torch.arange(3)[:, None]).sort(dim=1).values
    assert not (each == each[0]).all()


@pytest.mark.parametrize("masking", MASKINGS)
def test_every_patch_is_hidden_as_often(masking):
    mask = torch.ones(4000, 12, dtype=torch.bool)
    scores = uniform(torch.arange(4000), 12, "test")
    _, hidden = split_patches(mask, 0.5, masking, 4, scores)
    often = torch.bincount(hidden.index[hidden.mask], minlength=12) / 4000
    torch.testing.assert_close(often, torch.full((12,), 0.5), atol=0.04, rtol=0)
