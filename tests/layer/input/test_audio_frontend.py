"""Against what the transformers library computes from each recording alone."""

import pytest
import torch
from torch import nn

from mmtx_cli.layer.input.audio_frontend import (
    WaveConvolutions,
    WhisperLogMel,
    kaldi_filterbank,
    unit_variance,
)

HOPS = (30, 0, 47, 3)
MASK = torch.arange(47) < torch.tensor(HOPS)[:, None]
SOUND = torch.rand(4, 47, 160, generator=torch.Generator().manual_seed(0)) - 0.3


def recording(i):
    """The samples of one recording."""
    return SOUND[i, : HOPS[i]].flatten()


@pytest.fixture(scope="module")
def transformers():
    return pytest.importorskip("transformers")


def test_unit_variance(transformers):
    extractor = transformers.Wav2Vec2FeatureExtractor()
    got = unit_variance(SOUND, MASK)
    for i in (0, 2, 3):
        wanted = extractor(
            recording(i).numpy(), sampling_rate=16000, return_tensors="pt"
        ).input_values
        torch.testing.assert_close(got[i, : HOPS[i]].flatten(), wanted[0], atol=1e-5, rtol=1e-5)
        assert not got[i, HOPS[i] :].any()
    assert not got[1].any()


def test_kaldi_filterbank(transformers):
    extractor = transformers.ASTFeatureExtractor(max_length=40, num_mel_bins=32)
    got, frames = kaldi_filterbank(SOUND, MASK, 32, 40)
    assert frames.tolist() == [28, 0, 45, 1]
    for i in (0, 2, 3):
        raw = extractor(
            recording(i).numpy(), sampling_rate=16000, return_tensors="pt"
        ).input_values[0]
        wanted = raw * 2 * extractor.std + extractor.mean
        torch.testing.assert_close(got[i], wanted, atol=1e-3, rtol=1e-4)
    assert not got[1].any()


def test_a_sound_shorter_than_a_frame_is_one_frame():
    short = MASK & (torch.arange(47) < 1)
    got, frames = kaldi_filterbank(SOUND, short, 16, 20)
    assert frames.tolist() == [1, 0, 1, 1]
    assert got[0, 0].any()
    assert not got[0, 1:].any()


def test_whisper_log_mel(transformers):
    extractor = transformers.WhisperFeatureExtractor(chunk_length=1, feature_size=20)
    features = WhisperLogMel(16000, 20, 16000, extractor.n_fft, extractor.hop_length)
    got = features((SOUND * MASK[..., None]).flatten(1))
    for i in (0, 2, 3):
        wanted = extractor(recording(i).numpy(), sampling_rate=16000, return_tensors="pt")
        torch.testing.assert_close(got[i], wanted.input_features[0], atol=1e-4, rtol=1e-4)
    assert got[1].isfinite().all()


class Layer(nn.Module):
    def __init__(self, channels, out, kernel, stride, norm):
        super().__init__()
        self.conv = nn.Conv1d(channels, out, kernel, stride)
        self.layer_norm = nn.GroupNorm(out, out) if norm else None
        self.activation = nn.GELU()
        if norm:
            nn.init.normal_(self.layer_norm.weight)
            nn.init.normal_(self.layer_norm.bias)

    def forward(self, x):
        x = self.conv(x)
        return self.activation(self.layer_norm(x) if self.layer_norm else x)


def test_convolutions_do_not_mix_recordings():
    layers = nn.ModuleList([Layer(1, 6, 10, 5, True), Layer(6, 4, 3, 2, False)])
    made = WaveConvolutions(layers)
    assert made.shortest == (3 - 1) * 5 + 10
    sound = (SOUND * MASK[..., None]).flatten(1)
    got, frames = made(sound, MASK.sum(dim=1) * 160)
    assert frames[1] == 0
    assert got.isfinite().all()
    for i in (0, 2, 3):
        wanted = recording(i)[None, None]
        for layer in layers:
            wanted = layer(wanted)
        assert frames[i] == wanted.shape[2]
        torch.testing.assert_close(got[i, :, : frames[i]], wanted[0], atol=1e-5, rtol=1e-5)
    tiny, count = made(torch.ones(1, 4), torch.tensor([4]))
    assert tiny.shape == (1, 4, 1)
    assert count.tolist() == [1]
