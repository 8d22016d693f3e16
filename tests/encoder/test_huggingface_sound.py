"""Audio encoders of the transformers library, against the library itself."""

import json

import pytest
import torch

from mmtx_cli.encoder.audio.huggingface import HuggingFaceAudioEncoder
from mmtx_cli.types import ModalityInput
from tests.messages import raises
from tests.tiny import same

from .hub_models import CONFIG, SMALL, check_padding_and_gradients, saved

library = pytest.importorskip("transformers")

HOPS = torch.arange(47) < torch.tensor([30, 0, 47, 3])[:, None]
SOUND = torch.rand(4, 47, 160, generator=torch.Generator().manual_seed(0)) * 2 - 1
SHORT = {"conv_dim": [8, 8, 8], "conv_stride": [5, 8, 4], "conv_kernel": [10, 8, 4],
         "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 8,
         "num_conv_pos_embedding_groups": 2}  # fmt: skip
STABLE = {"feat_extract_norm": "layer", "do_stable_layer_norm": True, "conv_bias": True}


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("hubert", SHORT),
        ("wavlm", SHORT),
        ("wav2vec2", {**SHORT, **STABLE}),
        ("audio-spectrogram-transformer", {"max_length": 60, "num_mel_bins": 32}),
        ("whisper", {"max_source_positions": 40, "num_mel_bins": 16}),
    ],
)
def test_sounds_of_many_architectures(name, config):
    encoder = HuggingFaceAudioEncoder(16000, 0.5, architecture=name, config=config, **SMALL)
    check_padding_and_gradients(encoder, ModalityInput(SOUND, HOPS))
    stem = {id(p) for p in encoder.blocks()[0].parameters()}
    last = [n for n, p in encoder.named_parameters() if "layer_norm" in n and id(p) in stem]
    assert ("body.encoder.layer_norm.weight" in last) == (name in ("hubert", "wavlm"))


@pytest.mark.parametrize("config", [SHORT, {**SHORT, **STABLE}], ids=["group", "layer"])
def test_pretrained_sounds(config, tmp_path):
    model = library.Wav2Vec2Model(library.Wav2Vec2Config(**CONFIG, **config))
    extractor = library.Wav2Vec2FeatureExtractor(do_normalize=True)
    encoder = HuggingFaceAudioEncoder(weights=saved(model, tmp_path, extractor), lora=0).eval()
    tokens = encoder(ModalityInput(SOUND, HOPS))
    for i, count in enumerate((30, 0, 47, 3)):
        if count:
            sound = SOUND[i, :count].flatten().numpy()
            heard = extractor(sound, sampling_rate=16000, return_tensors="pt").input_values
            wanted = model(heard).last_hidden_state[0]
            same(tokens.x[i][tokens.mask[i]], wanted, 2e-5)
    kept = json.loads(json.dumps(encoder.rebuild_kwargs()))
    again = HuggingFaceAudioEncoder(**kept).eval()
    again.load_state_dict(encoder.state_dict())
    same(again(ModalityInput(SOUND, HOPS)).x, tokens.x)
    with raises(ValueError, "sample_rate=8000: ", " 16000"):
        HuggingFaceAudioEncoder(8000, weights=str(tmp_path))


def test_pretrained_spectrograms(tmp_path):
    shape = {"max_length": 60, "num_mel_bins": 32}
    model = library.ASTModel(library.ASTConfig(**CONFIG, **shape))
    extractor = library.ASTFeatureExtractor(mean=-3.0, std=2.0, **shape)
    encoder = HuggingFaceAudioEncoder(16000, 0.6, saved(model, tmp_path, extractor)).eval()
    tokens = encoder(ModalityInput(SOUND, HOPS))
    sound = [SOUND[i, :count].flatten().numpy() for i, count in ((0, 30), (2, 47))]
    heard = extractor(sound, sampling_rate=16000, return_tensors="pt").input_values
    same(tokens.x[[0, 2]], model(heard).last_hidden_state, 1e-4)
    # 28 frames: patches that begin at 0, 10 and 20 of five, in both rows
    columns = [True] * 3 + [False] * 2
    assert tokens.mask[0].tolist() == [True, True, *columns, *columns]
    with raises(ValueError, "audio_seconds=10.0: ", " 0.6 s", " audio_seconds=0.6"):
        HuggingFaceAudioEncoder(weights=str(tmp_path))


def test_pretrained_whisper(tmp_path):
    config = library.WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=2, decoder_layers=1,
        decoder_attention_heads=2, num_mel_bins=16, max_source_positions=50, vocab_size=40,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    model = library.WhisperModel(config)
    extractor = library.WhisperFeatureExtractor(chunk_length=1, feature_size=16)
    encoder = HuggingFaceAudioEncoder(16000, 1.0, saved(model, tmp_path, extractor)).eval()
    tokens = encoder(ModalityInput(SOUND, HOPS))
    assert tokens.mask.sum(dim=1).tolist() == [15, 0, 24, 2]
    sound = [SOUND[i, :count].flatten().numpy() for i, count in ((0, 30), (2, 47))]
    heard = extractor(sound, sampling_rate=16000, return_tensors="pt").input_features
    wanted = model.get_encoder()(heard).last_hidden_state
    same(tokens.x[[0, 2]], wanted[:, :24], 1e-4)
    assert not any("decoder" in name for name in encoder.state_dict())
