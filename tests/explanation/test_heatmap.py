"""Heat maps of a moderate size."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.explanation.heatmap import CELLS, SMOOTHING, STEPS, audio_map, picture_map, smoothed


@given(st.integers(8, 90), st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_the_sum_is_kept_and_nothing_is_negative(side, seed):
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(2, side, side, generator=random, dtype=torch.float64)
    found = smoothed(x, side / 12, side / 9)
    assert (found >= 0).all()
    assert found.sum().item() == pytest.approx(x.sum().item())
    torch.testing.assert_close(smoothed(torch.ones_like(x), 2.0, 1.0), torch.ones_like(x))


@given(st.integers(4, 40), st.data())
@settings(deadline=None, max_examples=30)
def test_the_peak_stays_in_its_place(cells, data):
    row, column = (data.draw(st.integers(0, cells - 1)) for _ in range(2))
    x = torch.zeros(1, 4 * cells, 4 * cells)
    x[0, 4 * row : 4 * row + 4, 4 * column : 4 * column + 4] = 1
    (found,) = picture_map(x)
    height, width = found.shape
    assert height == width == min(4 * cells, CELLS)
    peak = divmod(int(found.argmax()), width)
    for place, wanted in zip(peak, (row, column), strict=True):
        distance = abs((place + 0.5) / height - (wanted + 0.5) / cells)
        # near an edge, the mirrored spot adds to it
        near = min(wanted, cells - 1 - wanted) / cells < 3 * SMOOTHING
        assert distance <= 0.5 / height + (SMOOTHING if near else 0.5 / cells)


def test_sound_is_cut_into_steps_and_bands():
    x = torch.zeros(300, 64)
    x[150:156, 10:12] = 1
    found = audio_map(x)
    assert found.shape == (STEPS, CELLS)
    assert divmod(int(found.argmax()), CELLS) == (int(152.5 / 300 * STEPS), 5)
    assert audio_map(x[:20]).shape == (20, CELLS)
    assert audio_map(x[:, :1]).shape == (STEPS,)
    assert audio_map(torch.ones(1, 1)).tolist() == [1]
