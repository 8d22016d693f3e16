import math

import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from mmtx_cli.layer.input.mel import FLOOR, LogMel, SpecAugment, mel_bands, real_mean, waveform
from mmtx_cli.types import ModalityInput
from tests.messages import raises

RATE, HOP = 16000, 160


def sound(*counts, seed=0):
    """Chirps in noise, ``counts`` hops long each, with more noise where nothing is real."""
    random = torch.Generator().manual_seed(seed)
    n = max(counts)
    time = torch.arange(n * HOP) / RATE
    x = 0.3 * torch.sin(2 * math.pi * (300 + 2000 * time) * time)
    x = x + 0.05 * torch.randn(len(counts), n * HOP, generator=random)
    return ModalityInput(x.view(-1, n, HOP), torch.arange(n) < torch.tensor(counts)[:, None])


@pytest.mark.parametrize(("num_mels", "n_fft"), [(64, 512), (80, 512), (128, 1024)])
def test_a_whole_recording_is_torchaudios(num_mels, n_fft):
    field = sound(37, 37)
    reference = MelSpectrogram(
        RATE,
        n_fft=n_fft,
        win_length=400,
        hop_length=HOP,
        f_min=20.0,
        n_mels=num_mels,
        pad_mode="constant",
    )
    wanted = reference(field.data.flatten(1))[..., :-1].mT.clamp(min=FLOOR).log()
    torch.testing.assert_close(
        LogMel(RATE, num_mels, normalize=None)(field), wanted, atol=1e-3, rtol=1e-4
    )


def test_frame_by_frame_in_double_precision():
    """The definition: window, discrete Fourier transform, triangles on the mel scale."""
    rate, hop, window, size, num_mels = 8000, 80, 200, 256, 20
    x = torch.randn(5 * hop, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mel = [2595 * math.log10(1 + f / 700) for f in (100.0, rate / 2)]
    edges = [mel[0] + i * (mel[1] - mel[0]) / (num_mels + 1) for i in range(num_mels + 2)]
    edges = [700 * (10 ** (m / 2595) - 1) for m in edges]
    wanted = torch.zeros(5, num_mels, dtype=torch.float64)
    for i in range(5):
        for k in range(size // 2 + 1):
            amplitude = 0j
            for n in range(window):
                place = i * hop + n - window // 2
                if 0 <= place < len(x):
                    weight = 0.5 - 0.5 * math.cos(2 * math.pi * n / window)
                    angle = -2 * math.pi * k * n / size
                    amplitude += (
                        weight * float(x[place]) * complex(math.cos(angle), math.sin(angle))
                    )
            f = k * rate / size
            for m in range(num_mels):
                low, mid, high = edges[m : m + 3]
                band = max(0.0, min((f - low) / (mid - low), (high - f) / (high - mid)))
                wanted[i, m] += band * abs(amplitude) ** 2
    field = ModalityInput(x.float().view(1, 5, hop), torch.ones(1, 5, dtype=torch.bool))
    got = LogMel(rate, num_mels, f_min=100.0, normalize=None)(field)
    torch.testing.assert_close(got[0].double(), wanted.log(), atol=2e-4, rtol=1e-5)


@pytest.mark.parametrize("normalize", [None, "recording", "dataset"])
def test_a_recording_alone_is_one_in_a_batch(normalize):
    mel = LogMel(RATE, normalize=normalize, mean=-7.0, std=3.0)
    field = sound(20, 8, 1)
    together = mel(field)
    for i, count in enumerate((20, 8, 1)):
        alone = mel(ModalityInput(field.data[i : i + 1, :count], field.mask[i : i + 1, :count]))
        torch.testing.assert_close(together[i, :count], alone[0], atol=1e-5, rtol=1e-5)
        assert not together[i, count:].any()


def test_a_recording_is_normalized_over_its_real_frames():
    x = LogMel(RATE)(sound(20, 8))
    for i, count in enumerate((20, 8)):
        assert x[i, :count].mean().abs() < 1e-5
        assert x[i, :count].var(unbiased=False).sub(1).abs() < 1e-3
    louder = sound(20, 8)
    louder.data.mul_(3)
    torch.testing.assert_close(LogMel(RATE)(louder), x, atol=1e-4, rtol=1e-4)


def test_a_data_set_is_normalized_by_the_given_statistics():
    field = sound(6)
    plain = LogMel(RATE, normalize=None, mean=1.0, std=5.0)(field)
    given = LogMel(RATE, normalize="dataset", mean=-2.0, std=4.0)(field)
    torch.testing.assert_close(given, (plain + 2) / 4)


def test_silence_is_finite():
    field = ModalityInput(torch.zeros(2, 3, HOP), torch.tensor([[1, 1, 1], [0, 0, 0]]).bool())
    assert LogMel(RATE)(field).abs().max() < 1e-3
    assert (LogMel(RATE, normalize=None)(field)[0] == math.log(FLOOR)).all()


def test_single_precision_whatever_the_rest():
    mel, field = LogMel(RATE), sound(10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(mel(field), mel(field))
        half = mel(field)
    assert torch.equal(half, mel(field))
    assert mel.to(torch.bfloat16)(field).dtype == torch.bfloat16


def test_narrow_bands_get_a_longer_transform():
    assert mel_bands(8000, 200, 20, 20.0, None).shape == (129, 20)
    bands = mel_bands(8000, 200, 100, 20.0, None)
    assert bands.shape == (257, 100)
    assert bands.amax(dim=0).min() > 0


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"num_mels": 2000}, ["num_mels=2000 ", "bands", f"sample_rate={RATE}"]),
        ({"sample_rate": 400}, ["num_mels=64 ", "sample_rate=400", " num_mels=", " sample_rate"]),
        (
            {"sample_rate": 400, "num_mels": 2000},
            ["num_mels=2000 ", "sample_rate=400", " sample_rate"],
        ),
        ({"f_max": 9000.0}, ["f_max=9000.0 ", "0 … 8000.0 Hz"]),
        ({"f_min": 8000.0}, ["f_min=8000.0, ", "0 … 8000.0 Hz"]),
        ({"normalize": "batch"}, ["normalize='batch' ", "'recording', 'dataset', null"]),
        ({"normalize": "dataset"}, ["normalize='dataset' ", "mean=None, std=None"]),
    ],
)
def test_what_it_refuses(kwargs, parts):
    with raises(ValueError, *parts):
        LogMel(**{"sample_rate": RATE, **kwargs})


def test_hops_of_another_rate_are_refused():
    with raises(ValueError, "sample_rate=8000 ", "hops of 80"):
        waveform(sound(2), 8000)


class TestSpecAugment:
    mask = torch.arange(60) < torch.tensor([60, 30, 0])[:, None]
    x = torch.randn(3, 60, 32, generator=torch.Generator().manual_seed(3))

    def test_evaluation_sees_everything(self):
        assert SpecAugment().eval()(self.x, self.mask) is self.x

    def test_nothing_to_mask(self):
        assert SpecAugment(0, freq_masks=0)(self.x, self.mask) is self.x

    @pytest.mark.parametrize("seed", range(8))
    def test_whole_frames_and_whole_bands_become_the_mean(self, seed):
        torch.manual_seed(seed)
        augment = SpecAugment(2, 9, 1, 8, time_fraction=0.2)
        y = augment(self.x, self.mask)
        hidden = y != self.x
        assert torch.equal(hidden & ~self.mask[..., None], torch.zeros_like(hidden))
        mean = real_mean(self.x, self.mask).expand_as(y)
        assert torch.equal(y[hidden], mean[hidden])
        for i, count in enumerate((60, 30)):
            own = hidden[i, :count]
            frames, bands = own.all(dim=1), own.all(dim=0)
            assert torch.equal(own, frames[:, None] | bands)
            assert frames.sum() <= 2 * min(9, 0.2 * count)
            assert bands.sum() <= 8
            assert longest_run(frames) <= 2 * 9
        assert not hidden[2].any()

    def test_every_sample_has_masks_of_its_own(self):
        torch.manual_seed(0)
        x, mask = self.x[:1].expand(16, -1, -1), self.mask[:1].expand(16, -1)
        hidden = SpecAugment(1, 20, 1, 16)(x, mask) != x
        assert len({tuple(h.all(dim=1).tolist()) for h in hidden}) > 8
        assert len({tuple(h.all(dim=0).tolist()) for h in hidden}) > 4

    def test_widths_reach_their_bound(self):
        torch.manual_seed(0)
        x, mask = self.x[:1].expand(400, -1, -1), self.mask[:1].expand(400, -1)
        hidden = SpecAugment(1, 6, 0, time_fraction=0.5)(x, mask) != x
        widths = hidden.all(dim=2).sum(dim=1)
        assert set(widths.tolist()) == set(range(7))
        starts = hidden.all(dim=2).int().argmax(dim=1)[widths > 0]
        assert starts.min() == 0
        assert (starts + widths[widths > 0]).max() == 60


def longest_run(flags):
    best = run = 0
    for flag in flags.tolist():
        run = run + 1 if flag else 0
        best = max(best, run)
    return best
