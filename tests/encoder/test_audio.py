"""What the audio encoders do beyond the contract."""

import math
from functools import partial

import pytest
import torch
import torchaudio
from torch import nn
from torchaudio.models import wav2vec2_model, wavlm_model

from mmtx_cli.encoder.audio.ast import AstAudioEncoder
from mmtx_cli.encoder.audio.spectrogram_cnn import SpectrogramCnnAudioEncoder
from mmtx_cli.encoder.audio.torchaudio import TorchaudioAudioEncoder, pooled
from mmtx_cli.encoder.audio.waveform import WaveformAudioEncoder
from mmtx_cli.encoder.backbone.torchaudio_body import speech_body
from mmtx_cli.errors import ConfigError
from mmtx_cli.types import ModalityInput
from tests.messages import raises
from tests.tiny import gradients, tiny_encoder

RATE, HOP = 16000, 160
SMALL = {"width": 16, "depth": 1, "num_heads": 2}
SCRATCH = {"sample_rate": RATE, "audio_seconds": 0.5, **SMALL}
BODY = {"body_width": 32, "body_depth": 2, "body_heads": 2, "body_channels": 8}
SPEECH = {"sample_rate": RATE, **SMALL, **BODY}


def sound(*counts, seed=0):
    random = torch.Generator().manual_seed(seed)
    n = max(counts)
    data = 0.2 * torch.randn(len(counts), n, HOP, generator=random)
    return ModalityInput(data, torch.arange(n) < torch.tensor(counts)[:, None])


def unpadded(field, i):
    """One sample without its padding."""
    count = int(field.mask[i].sum())
    return ModalityInput(field.data[i : i + 1, :count], field.mask[i : i + 1, :count])


@pytest.mark.parametrize(
    ("encoder", "wanted"),
    [
        (SpectrogramCnnAudioEncoder(**SCRATCH), [3, 7, 1]),  # 16 hops a token
        (SpectrogramCnnAudioEncoder(channels=[8, 8], **SCRATCH), [10, 25, 1]),
        (AstAudioEncoder(**SCRATCH), [3 * 8, 7 * 8, 8]),  # 16 hops by 16 of 128 bands
        (AstAudioEncoder(stem="patch", **SCRATCH), [3 * 8, 7 * 8, 8]),
        (AstAudioEncoder(stem="patch", stride=10, **SCRATCH), [4 * 12, 10 * 12, 12]),
        (WaveformAudioEncoder(**SCRATCH), [10, 25, 1]),  # 640 samples a token
        (WaveformAudioEncoder(strides=[10, 8], **SCRATCH), [80, 200, 2]),
        (TorchaudioAudioEncoder(**SPEECH), [5, 13, 1]),  # 4 frames of 20 ms, without the last edge
        (TorchaudioAudioEncoder(pool=1, **SPEECH), [19, 49, 1]),
    ],
    ids=lambda x: type(x).__name__ if isinstance(x, nn.Module) else str(x),
)
def test_so_many_tokens(encoder, wanted):
    tokens = encoder.eval()(sound(40, 100, 1))
    assert tokens.mask.sum(dim=1).tolist() == wanted
    assert tokens.x.shape[1] == max(wanted)


AstOfPatches = partial(AstAudioEncoder, stem="patch")
SCRATCH_ENCODERS = [SpectrogramCnnAudioEncoder, AstAudioEncoder, AstOfPatches, WaveformAudioEncoder]


@pytest.mark.parametrize("build", SCRATCH_ENCODERS)
def test_tokens_come_in_the_order_of_time(build):
    """Without the Transformer, a change of the sound's end changes the last tokens only."""
    encoder = build(**{**SCRATCH, "depth": 0}).eval()
    field = sound(160)
    with torch.no_grad():
        encoder.transformer.norm = nn.Identity()
        if hasattr(encoder, "mel"):
            encoder.mel.normalize = None
        before = encoder(field).x[0]
        field.data[:, -8:] = sound(64, seed=5).data[:, -8:]
        changed = ((encoder(field).x[0] - before).abs().amax(dim=1) > 1e-2).tolist()
    assert changed[-1]
    assert not any(changed[: len(changed) // 2])


@pytest.mark.parametrize("build", SCRATCH_ENCODERS)
def test_when_something_sounds_matters(build):
    """The same two halves in the other order are another sound, by the positions."""
    encoder = build(**SCRATCH).eval()
    field = sound(64)
    turned = ModalityInput(field.data.roll(32, dims=1), field.mask)
    assert (encoder(field).x.mean(dim=1) - encoder(turned).x.mean(dim=1)).abs().max() > 1e-4


@pytest.mark.parametrize("build", SCRATCH_ENCODERS)
def test_loudness_does_not_matter_much(build):
    encoder = build(**SCRATCH).eval()
    field = sound(64)
    louder = ModalityInput(field.data * 4, field.mask)
    a, b = encoder(field).x, encoder(louder).x
    assert (a - b).pow(2).mean() < 1e-3 * a.pow(2).mean()


@pytest.mark.parametrize("build", SCRATCH_ENCODERS)
def test_a_hole_in_a_sound_is_silence(build):
    """The mask need not be a beginning: what is not real does not matter anywhere."""
    encoder = build(**SCRATCH).eval()
    field = sound(64)
    field.mask[:, 20:25] = False
    before = encoder(field)
    field.data[:, 20:25] = 7.0
    after = encoder(field)
    assert torch.equal(before.x[before.mask], after.x[after.mask])


@pytest.mark.parametrize("build", SCRATCH_ENCODERS)
def test_blocks_hold_what_comes_before_the_end(build):
    encoder = build(**{**SCRATCH, "depth": 2})
    held = {id(p) for block in encoder.blocks() for p in block.parameters()}
    outside = {name.split(".")[0] for name, p in encoder.named_parameters() if id(p) not in held}
    assert outside <= {"transformer", "project", "norm", "position"}
    assert encoder.blocks()[-2:] == list(encoder.transformer.blocks)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spectrogram_cnn", "ast", "waveform"])
def test_learns_rising_from_falling(name):
    """Both have the same tones: only their order tells."""
    torch.manual_seed(0)
    encoder = tiny_encoder("audio", name)
    time = torch.arange(40 * HOP) / RATE
    sweep = torch.sin(2 * math.pi * (300 + 2500 * time) * time)
    data = torch.stack([sweep, sweep.flip(0)] * 6) + 0.05 * torch.randn(12, 40 * HOP)
    field = ModalityInput(data.view(12, 40, HOP), torch.ones(12, 40, dtype=torch.bool))
    way, head = torch.arange(12) % 2, nn.Linear(16, 2)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=2e-3)
    for _ in range(40):
        loss = nn.functional.cross_entropy(head(encoder.train()(field).x.mean(dim=1)), way)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.1


@pytest.mark.parametrize(
    ("build", "kwargs", "parts"),
    [
        (SpectrogramCnnAudioEncoder, {"num_mels": 40}, ["num_mels=40 ", " 4 times", "(channels="]),
        (SpectrogramCnnAudioEncoder, {"channels": []}, ["num_mels=", " 0 times", "(channels="]),
        (
            SpectrogramCnnAudioEncoder,
            {"normalize": "dataset"},
            ["normalize='dataset' ", "mean", "std"],
        ),
        (AstAudioEncoder, {"stride": 20}, ["stride=20, patch_size=16, num_mels=128: "]),
        (AstAudioEncoder, {"num_mels": 12}, [" patch_size=16, num_mels=12: "]),
        (AstAudioEncoder, {"stem": "convs"}, ["stem='convs'", "conv or patch"]),
        (AstAudioEncoder, {"stride": 10}, ["stride=10 ", " patch_size=16", " stem=patch"]),
        (AstAudioEncoder, {"num_mels": 40}, ["num_mels=40 ", "multiple", " stem=patch"]),
        (AstAudioEncoder, {"patch_size": 12, "num_mels": 48}, ["patch_size=12 ", "power of two"]),
        (WaveformAudioEncoder, {"strides": [4, 1]}, ["strides=", "4, 1", " 2"]),
    ],
)
def test_what_they_refuse(build, kwargs, parts):
    with raises(ValueError, *parts):
        build(**{**SCRATCH, **kwargs})


@pytest.mark.parametrize("build", [*SCRATCH_ENCODERS, TorchaudioAudioEncoder])
def test_sound_of_another_rate_is_refused(build):
    encoder = build(**(SPEECH if build is TorchaudioAudioEncoder else SCRATCH))
    field = ModalityInput(torch.zeros(1, 3, 80), torch.ones(1, 3, dtype=torch.bool))
    with raises(ValueError, "sample_rate=16000 ", "hops of 160"):
        encoder(field)


def small_model(bundle):
    """torchaudio's own model with the sizes of BODY."""
    params = dict(getattr(torchaudio.pipelines, bundle)._params)
    layers = [(8, *layer[1:]) for layer in params["extractor_conv_layer_config"]]
    params |= {
        "extractor_conv_layer_config": layers,
        "encoder_embed_dim": 32,
        "encoder_ff_interm_features": 128,
        "encoder_pos_conv_groups": 1,
        "encoder_num_layers": 2,
        "encoder_num_heads": 2,
        "aux_num_out": None,
    }
    return (wavlm_model if bundle.startswith("WAVLM") else wav2vec2_model)(**params).eval()


BUNDLES = ["WAV2VEC2_BASE", "WAV2VEC2_LARGE_LV60K", "HUBERT_BASE", "WAVLM_BASE", "WAVLM_LARGE"]


@pytest.mark.parametrize("bundle", BUNDLES)
class TestPipeline:
    def body(self, bundle, tmp_path, **changed):
        reference = small_model(bundle)
        torch.save(reference.state_dict(), tmp_path / "small.pth")
        sizes = {"width": 32, "heads": 2, "channels": 8, "depth": None, **changed}
        parts = dict(getattr(torchaudio.pipelines, bundle)._params)
        with pytest.MonkeyPatch.context() as patch:
            patch.setitem(getattr(torchaudio.pipelines, bundle)._params, "encoder_num_layers", 2)
            body = speech_body(bundle, RATE, str(tmp_path / "small.pth"), **sizes)
        assert parts["encoder_num_layers"] > 2
        return reference, body.eval()

    def test_one_recording_is_torchaudios(self, bundle, tmp_path):
        reference, body = self.body(bundle, tmp_path)
        x = sound(60).data.flatten(1)
        given = x
        if getattr(torchaudio.pipelines, bundle)._normalize_waveform:
            given = nn.functional.layer_norm(x, x.shape)
        with torch.no_grad():
            wanted, _ = reference(given)
            got, mask = body(x, torch.tensor([x.shape[1]]))
        assert mask.all()
        torch.testing.assert_close(got[-1], wanted, atol=1e-5, rtol=1e-4)

    def test_recordings_of_several_lengths(self, bundle, tmp_path):
        _, body = self.body(bundle, tmp_path)
        x, length = sound(60, 60, 60).data.flatten(1), torch.tensor([9600, 4000, 160])
        x[torch.arange(9600) >= length[:, None]] = 0
        together, mask = body(x, length)
        for i, n in enumerate(length.tolist()):
            got, own = body(x[i : i + 1, :n], length[i : i + 1])
            assert own.all()
            assert mask[i].sum() == own.shape[1] == max((n - 400) // 320 + 1, 1)
            for a, b in zip(together, got, strict=True):
                torch.testing.assert_close(a[i][mask[i]], b[0], atol=1e-5, rtol=1e-4)

    def test_half_precision(self, bundle, tmp_path):
        _, body = self.body(bundle, tmp_path)
        x, length = sound(60, 60).data.flatten(1), torch.tensor([9600, 4000])
        whole, mask = body(x, length)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half, _ = body(x, length)
        error = (half[-1].float() - whole[-1])[mask].pow(2).mean()
        assert error < 0.05**2 * whole[-1][mask].pow(2).mean()


def test_its_first_blocks_are_frozen():
    encoder = TorchaudioAudioEncoder(freeze=1, **SPEECH).train()
    stem, first, second = encoder.blocks()
    assert [part.training for part in (stem, first, second)] == [False, False, True]
    assert not any(p.requires_grad for part in (stem, first) for p in part.parameters())
    assert all(p.requires_grad for p in second.parameters())
    with raises(ValueError, "freeze=3: ", " 2 blocks"):
        TorchaudioAudioEncoder(freeze=3, **SPEECH)


def test_adapters_of_low_rank():
    encoder = TorchaudioAudioEncoder(lora=2, **SPEECH).train()
    tokens = encoder(sound(60))
    tokens.x.pow(3).sum().backward()
    found = {name for name in gradients(encoder) if name.startswith("body.")}
    assert len(found) == 2 * 4 * 2
    assert all(name.endswith(("down.weight", "up.weight")) for name in found)
    with raises(ValueError, "lora=2: ", "WavLM", " 0"):
        TorchaudioAudioEncoder(bundle="WAVLM_BASE", lora=2, **SPEECH)


def test_a_mean_of_all_layers_is_learned():
    encoder = TorchaudioAudioEncoder(layer_mix=True, freeze=True, **SPEECH).eval()
    field = sound(60)
    layers, _ = encoder.body(field.data.flatten(1), encoder.samples(field))
    torch.testing.assert_close(encoder.features(field).x, sum(layers) / 2)
    encoder(field).x.pow(3).sum().backward()
    assert encoder.mix.grad.any()
    assert not any(name.startswith("body.") for name in gradients(encoder))


def test_frames_are_pooled_over_the_real_ones():
    x = torch.arange(5.0).view(1, 5, 1).expand(2, 5, 1)
    means, mask = pooled(x, torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]).bool(), 2)
    assert means[..., 0].tolist() == [[0.5, 2.0, 0.0], [0.5, 2.5, 4.0]]
    assert mask.tolist() == [[True, True, False], [True] * 3]


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"bundle": "WAV2VEC3"}, ["bundle='WAV2VEC3' ", " WAV2VEC2_BASE, "]),
        (
            {"bundle": "TACOTRON2_WAVERNN_CHAR_LJSPEECH"},
            ["bundle='TACOTRON2_WAVERNN_CHAR_LJSPEECH' ", " WAV2VEC2_BASE, "],
        ),
        ({"sample_rate": 8000}, ["WAV2VEC2_BASE ", " 8000", " sample_rate=16000"]),
        ({"weights": True}, ["weights", "WAV2VEC2_BASE ", " body_width=32"]),
        ({"weights": "./none.pth"}, ["weights=./none.pth: ", "file"]),
        ({"body_depth": 13}, ["body_depth=13: ", "WAV2VEC2_BASE ", " 12 blocks"]),
        ({"body_heads": 3}, ["body_width=32 ", "multiple", " body_heads=3"]),
        ({"pool": 0}, ["pool=0: ", "frame"]),
    ],
)
def test_what_a_pipeline_refuses(kwargs, parts):
    with raises(ValueError, *parts):
        TorchaudioAudioEncoder(**{**SPEECH, **kwargs})


def test_weights_of_another_model_are_refused(tmp_path):
    torch.save(small_model("HUBERT_BASE").state_dict(), tmp_path / "other.pth")
    with raises(ValueError, f"weights={tmp_path / 'other.pth'} ", "WAVLM_BASE: "):
        TorchaudioAudioEncoder(bundle="WAVLM_BASE", weights=str(tmp_path / "other.pth"), **SPEECH)


def test_weights_that_cannot_be_downloaded(monkeypatch):
    def offline(*args, **kwargs):
        raise OSError("no route to host")

    monkeypatch.setattr("torchaudio.pipelines.Wav2Vec2Bundle.get_model", offline)
    parts = ("HUBERT_BASE", "no route to host", " weights=FILE.pth")
    with raises(ConfigError, "encoder.audio: ", *parts):
        tiny_encoder(
            "audio",
            "torchaudio",
            "encoder.audio.bundle=HUBERT_BASE",
            "encoder.audio.weights=true",
            *(f"encoder.audio.{key}=null" for key in BODY),
        )
