import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from mmtx_cli.media.audio.array_resample import filtered_array
from mmtx_cli.media.audio.decode import filtered

RATES = st.sampled_from([(441, 160), (3, 1), (1, 2), (2, 1), (147, 320), (3, 2), (160, 441)])


@settings(max_examples=40, deadline=None)
@given(rates=RATES, length=st.integers(1, 3000), seed=st.integers(0, 99))
def test_resampling_is_torchaudios(rates, length, seed):
    wave = np.random.default_rng(seed).uniform(-1, 1, length).astype(np.float32)
    wanted = filtered(wave, *rates)
    found = filtered_array(wave, *rates)
    assert found.shape == wanted.shape
    assert found.dtype == np.float32
    assert np.abs(found - wanted).max() < 2e-6


def test_a_long_wave_is_resampled_in_blocks(monkeypatch):
    wave = np.random.default_rng(0).uniform(-1, 1, 40_000).astype(np.float32)
    whole = filtered_array(wave, 2, 1)
    monkeypatch.setattr("mmtx_cli.media.audio.array_resample._BLOCK", 1000)
    np.testing.assert_allclose(filtered_array(wave, 2, 1), whole, atol=1e-6)
