"""Encoders of the transformers library: against the library itself, and what they refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny import same
from torch import nn

from mmtx_cli.encoder.audio.huggingface import HuggingFaceAudio
from mmtx_cli.encoder.image.huggingface import HuggingFaceImage
from mmtx_cli.encoder.text.huggingface import HuggingFaceText
from mmtx_cli.encoder.video.huggingface import HuggingFaceVideo
from mmtx_cli.settings import OptimizerSettings
from mmtx_cli.training.optimizer import make_optimizer
from mmtx_cli.types import Field

library = pytest.importorskip("transformers")

SMALL = {"width": 32, "depth": 2, "num_heads": 2}
CONFIG = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64
}  # fmt: skip
MASK = torch.arange(5) < torch.tensor([3, 0, 5, 1])[:, None]
IDS = torch.randint(5, 30, (4, 5), generator=torch.Generator().manual_seed(0))
HOPS = torch.arange(47) < torch.tensor([30, 0, 47, 3])[:, None]
SOUND = torch.rand(4, 47, 160, generator=torch.Generator().manual_seed(0)) * 2 - 1


def pictures(size=32, t=5):
    random = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (4, t, 3, size, size), generator=random, dtype=torch.uint8)


def trained(module):
    return {name for name, p in module.named_parameters() if p.requires_grad}


def agrees_with_itself_alone(encoder, field):
    """Padding and batch mates do not matter, and what is trained gets a gradient."""
    tokens = encoder.eval()(field)
    assert tokens.x.isfinite().all()
    assert tokens.present.tolist() == field.mask.any(dim=1).tolist()
    for i, count in enumerate(field.mask.sum(dim=1).tolist()):
        if count:
            alone = encoder(Field(field.data[i : i + 1, :count], field.mask[i : i + 1, :count]))
            same(alone.x[alone.mask], tokens.x[i][tokens.mask[i]], 2e-5)
    x = encoder.train()(field).x
    x.square().sum().backward()
    lacking = {n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None}
    assert not lacking


@pytest.mark.parametrize("name", ["roberta", "distilbert", "mpnet", "t5", "deberta-v2", "gpt2"])
def test_texts_of_many_architectures(name):
    encoder = HuggingFaceText(vocab_size=30, max_length=8, architecture=name, **SMALL)
    assert encoder.width == 32
    assert len(encoder.blocks()) == 3
    agrees_with_itself_alone(encoder, Field(IDS, MASK))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("dinov2", {"image_size": 64}),
        ("clip_vision_model", {}),
        ("siglip_vision_model", {}),
        ("swin", {"embed_dim": 8, "depths": [1, 1], "num_heads": [2, 2], "window_size": 2}),
        ("convnext", {"hidden_sizes": [8, 8, 8, 16], "depths": [1, 1, 1, 1]}),
    ],
)
def test_pictures_of_many_architectures(name, config):
    sizes = {"patch_size": 16, **SMALL} if name not in ("swin", "convnext") else {}
    encoder = HuggingFaceImage(image_size=32, architecture=name, config=config, **sizes)
    agrees_with_itself_alone(encoder, Field(pictures(), MASK))


@pytest.mark.parametrize("name", ["timesformer", "vivit"])
def test_videos_of_many_architectures(name):
    config = {"tubelet_size": [2, 16, 16]} if name == "vivit" else {}
    encoder = HuggingFaceVideo(
        32, num_frames=4, architecture=name, patch_size=16, config=config, **SMALL
    )
    agrees_with_itself_alone(encoder, Field(pictures(), MASK))


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
    encoder = HuggingFaceAudio(16000, 0.5, architecture=name, config=config, **SMALL)
    agrees_with_itself_alone(encoder, Field(SOUND, HOPS))
    stem = {id(p) for p in encoder.blocks()[0].parameters()}
    last = [n for n, p in encoder.named_parameters() if "layer_norm" in n and id(p) in stem]
    assert ("body.encoder.layer_norm.weight" in last) == (name in ("hubert", "wavlm"))


def saved(model, folder, *processors):
    for part in (model.eval(), *processors):
        part.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    torch.manual_seed(0)
    model = library.BertModel(library.BertConfig(vocab_size=30, **CONFIG))
    return saved(model, tmp_path_factory.mktemp("bert")), model


def test_pretrained_text(bert):
    folder, model = bert
    encoder = HuggingFaceText(weights=folder, vocab_size=8000).eval()
    tokens = encoder(Field(IDS, MASK))
    wanted = model(IDS * MASK, attention_mask=(MASK | (torch.arange(4) == 1)[:, None]).long())
    same(tokens.x[MASK], wanted.last_hidden_state[MASK], 1e-6)
    assert trained(encoder) == {n for n, _ in encoder.named_parameters() if "pooler" not in n}


def test_blocks_of_a_text_encoder_are_frozen_one_by_one(bert):
    encoder = HuggingFaceText(weights=bert[0], freeze=1).train()
    names = trained(encoder)
    assert names
    assert all(name.startswith("body.encoder.layer.1.") for name in names)
    assert not encoder.body.embeddings.dropout.training
    assert [layer.training for layer in encoder.body.encoder.layer] == [False, True]
    with pytest.raises(ValueError, match="freeze=3: the body has 2 blocks"):
        HuggingFaceText(weights=bert[0], freeze=3)


def test_adapters_of_a_text_encoder(bert):
    plain = HuggingFaceText(weights=bert[0]).eval()
    encoder = HuggingFaceText(weights=bert[0], lora=4).eval()
    given = Field(IDS, MASK)
    same(encoder(given).x, plain(given).x)
    names = trained(encoder)
    assert len(names) == 2 * 4 * 2  # blocks; query, key, value, out; down, up
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == 2 * 4 * 2 * 4 * 32
    for name, parameter in encoder.named_parameters():
        if name.endswith("up.weight"):
            nn.init.normal_(parameter)
    other = HuggingFaceText(weights=bert[0], lora=4).eval()
    other.load_state_dict(encoder.state_dict())
    same(other(given).x, encoder(given).x)
    assert not torch.allclose(other(given).x, plain(given).x, atol=1e-3)


def test_the_learning_rate_decays_towards_the_embeddings(bert):
    encoder = HuggingFaceText(weights=bert[0], freeze=1)
    free = HuggingFaceText(weights=bert[0])
    model = nn.ModuleDict({"frozen": encoder, "free": free, "head": nn.Linear(2, 2)})
    optimizer = make_optimizer(model, OptimizerSettings(lr=1.0, layer_decay=0.5))
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            assert id(parameter) not in rates
            continue
        block = 1 + int(name.split(".")[4]) if "encoder.layer." in name else 0
        assert rates[id(parameter)] == (1.0 if name.startswith("head") else 0.5 ** (3 - block))


def test_a_model_is_rebuilt_without_its_weights(bert, tmp_path):
    encoder = HuggingFaceText(weights=bert[0], freeze=True).eval()
    kept = json.loads(json.dumps(encoder.portable()))  # plain data only
    assert kept["weights"] is None
    again = HuggingFaceText(max_length=64, **kept).eval()
    again.load_state_dict(encoder.state_dict())
    given = Field(IDS, MASK)
    same(again(given).x, encoder(given).x)


def test_pretrained_pictures(tmp_path):
    model = library.ViTModel(library.ViTConfig(image_size=32, patch_size=16, **CONFIG))
    processor = library.ViTImageProcessor(
        image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.6, 0.7], do_resize=False
    )
    folder = saved(model, tmp_path, processor)
    encoder = HuggingFaceImage(image_size=32, weights=folder).eval()
    data = pictures(t=1)
    given = Field(data, torch.ones(4, 1, dtype=torch.bool))
    wanted = model(**processor(list(data[:, 0]), return_tensors="pt")).last_hidden_state
    same(encoder(given).x, wanted, 1e-5)
    again = HuggingFaceImage(image_size=32, **encoder.portable()).eval()
    again.load_state_dict(encoder.state_dict())
    same(again(given).x, wanted, 1e-5)
    # positions stretch to pictures of another size
    larger = HuggingFaceImage(image_size=48, weights=folder).eval()
    assert larger(Field(pictures(48), MASK)).x.shape == (4, 5 * 10, 32)
    (tmp_path / "preprocessor_config.json").unlink()
    with pytest.raises(ValueError, match=r"local folder with its preprocessor_config\.json"):
        HuggingFaceImage(image_size=32, weights=folder)
    told = HuggingFaceImage(
        image_size=32, weights=folder, mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7]
    )
    same(told.eval()(given).x, wanted, 1e-5)


def test_one_tower_of_a_model_for_two_modalities(tmp_path):
    model = library.CLIPModel(
        library.CLIPConfig(
            text_config={**CONFIG, "vocab_size": 30},
            vision_config={**CONFIG, "image_size": 32, "patch_size": 16},
        )
    )
    folder = saved(model, tmp_path, library.CLIPImageProcessor())
    given = Field(pictures(t=1), torch.ones(4, 1, dtype=torch.bool))
    image = HuggingFaceImage(image_size=32, weights=folder).eval()
    pixels = image.pixels(given.data[:, 0])
    same(image(given).x, model.vision_model(pixel_values=pixels).last_hidden_state, 1e-6)
    text = HuggingFaceText(weights=folder).eval()
    tokens = text(Field(IDS, MASK))
    ids = IDS.masked_fill(~MASK, text.pad_id)
    wanted = model.text_model(input_ids=ids, attention_mask=MASK.long()).last_hidden_state
    same(tokens.x[MASK], wanted[MASK], 1e-5)
    kept = text.portable()
    again = HuggingFaceText(**kept).eval()
    again.load_state_dict(text.state_dict())
    same(again(Field(IDS, MASK)).x, tokens.x)


def test_pretrained_videos(tmp_path):
    model = library.VideoMAEModel(
        library.VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, **CONFIG)
    )
    folder = saved(model, tmp_path, library.VivitImageProcessor(do_resize=False))
    encoder = HuggingFaceVideo(image_size=32, num_frames=8, weights=folder).eval()
    data = pictures(t=4)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    tokens = encoder(Field(data, mask))
    # bytes to -1 … 1 (offset), then mean 0.5 and standard deviation 0.5
    pixels = (data.float() / 127.5 - 1 - 0.5) / 0.5
    same(tokens.x[[0, 3]], model(pixels[[0, 3]]).last_hidden_state, 1e-5)
    same(tokens.x[1], model(pixels[1:2, [0, 0, 1, 1]]).last_hidden_state[0], 1e-5)
    assert tokens.mask.tolist() == [[x] * 8 for x in (True, True, False, True)]
    with pytest.raises(ValueError, match="image_size=64: the model cannot read 4 such frames"):
        HuggingFaceVideo(image_size=64, weights=folder)


@pytest.mark.parametrize("config", [SHORT, {**SHORT, **STABLE}], ids=["group", "layer"])
def test_pretrained_sounds(config, tmp_path):
    model = library.Wav2Vec2Model(library.Wav2Vec2Config(**CONFIG, **config))
    extractor = library.Wav2Vec2FeatureExtractor(do_normalize=True)
    encoder = HuggingFaceAudio(weights=saved(model, tmp_path, extractor), lora=0).eval()
    tokens = encoder(Field(SOUND, HOPS))
    for i, count in enumerate((30, 0, 47, 3)):
        if count:
            sound = SOUND[i, :count].flatten().numpy()
            heard = extractor(sound, sampling_rate=16000, return_tensors="pt").input_values
            wanted = model(heard).last_hidden_state[0]
            same(tokens.x[i][tokens.mask[i]], wanted, 2e-5)
    kept = json.loads(json.dumps(encoder.portable()))
    again = HuggingFaceAudio(**kept).eval()
    again.load_state_dict(encoder.state_dict())
    same(again(Field(SOUND, HOPS)).x, tokens.x)
    with pytest.raises(ValueError, match="sample_rate=8000: the model hears 16000"):
        HuggingFaceAudio(8000, weights=str(tmp_path))


def test_pretrained_spectrograms(tmp_path):
    shape = {"max_length": 60, "num_mel_bins": 32}
    model = library.ASTModel(library.ASTConfig(**CONFIG, **shape))
    extractor = library.ASTFeatureExtractor(mean=-3.0, std=2.0, **shape)
    encoder = HuggingFaceAudio(16000, 0.6, saved(model, tmp_path, extractor)).eval()
    tokens = encoder(Field(SOUND, HOPS))
    sound = [SOUND[i, :count].flatten().numpy() for i, count in ((0, 30), (2, 47))]
    heard = extractor(sound, sampling_rate=16000, return_tensors="pt").input_values
    same(tokens.x[[0, 2]], model(heard).last_hidden_state, 1e-4)
    # 28 frames: patches that begin at 0, 10 and 20 of five, in both rows
    columns = [True] * 3 + [False] * 2
    assert tokens.mask[0].tolist() == [True, True, *columns, *columns]
    with pytest.raises(ValueError, match=r"audio_seconds=10\.0: the model hears 0\.6 s at most"):
        HuggingFaceAudio(weights=str(tmp_path))


def test_pretrained_whisper(tmp_path):
    config = library.WhisperConfig(
        d_model=32, encoder_layers=2, encoder_attention_heads=2, decoder_layers=1,
        decoder_attention_heads=2, num_mel_bins=16, max_source_positions=50, vocab_size=40,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    model = library.WhisperModel(config)
    extractor = library.WhisperFeatureExtractor(chunk_length=1, feature_size=16)
    encoder = HuggingFaceAudio(16000, 1.0, saved(model, tmp_path, extractor)).eval()
    tokens = encoder(Field(SOUND, HOPS))
    assert tokens.mask.sum(dim=1).tolist() == [15, 0, 24, 2]
    sound = [SOUND[i, :count].flatten().numpy() for i, count in ((0, 30), (2, 47))]
    heard = extractor(sound, sampling_rate=16000, return_tensors="pt").input_features
    wanted = model.get_encoder()(heard).last_hidden_state
    same(tokens.x[[0, 2]], wanted[:, :24], 1e-4)
    assert not any("decoder" in name for name in encoder.state_dict())


def test_a_tokenizer_is_read_from_its_folder_without_the_library(tmp_path, monkeypatch):
    text = '{"version": "1.0", "model": {"type": "WordPiece"}}'
    (tmp_path / "tokenizer.json").write_text(text)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert HuggingFaceText.tokenizer_json(str(tmp_path)) == text
    assert HuggingFaceText.brings_tokenizer is True
    with pytest.raises(ValueError, match=r"not installed \(transformers\): pip install mmtx\[hf\]"):
        HuggingFaceText.tokenizer_json(str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"not installed \(transformers\): pip install mmtx\[hf\]"):
        HuggingFaceText(vocab_size=30)


def test_a_tokenizer_without_a_json_is_asked_of_the_library(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    library.BertConfig(vocab_size=7).save_pretrained(tmp_path)
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(HuggingFaceText.tokenizer_json(str(tmp_path)))
    assert made.encode("dogs").tokens == ["[CLS]", "dog", "##s", "[SEP]"]


def changed(folder, tmp_path, change):
    """A copy of a model's folder with other tensors."""
    from safetensors.torch import load_file, save_file

    state = load_file(Path(folder) / "model.safetensors")
    change(state)
    (tmp_path / "config.json").write_text((Path(folder) / "config.json").read_text())
    save_file(state, tmp_path / "model.safetensors", {"format": "pt"})
    return str(tmp_path)


def test_weights_that_lack_what_the_model_needs(bert, tmp_path):
    lacking = changed(bert[0], tmp_path, lambda s: s.pop("encoder.layer.1.output.dense.weight"))
    with pytest.raises(ValueError, match=r"1 tensors of the model are not there \(encoder\.layer"):
        HuggingFaceText(weights=lacking)


def test_weights_that_lack_what_nobody_reads(bert, tmp_path):
    lacking = changed(bert[0], tmp_path, lambda s: s.pop("pooler.dense.weight"))
    assert HuggingFaceText(weights=lacking).width == 32


def test_a_size_that_is_not_the_models(bert):
    assert HuggingFaceText(weights=bert[0], **SMALL).width == 32
    with pytest.raises(ValueError, match=r"width=16: .* has 32; leave width out"):
        HuggingFaceText(weights=bert[0], width=16)


class Trap:
    def __reduce__(self):
        return open, ("trapped", "w")


def test_code_that_comes_with_weights_is_not_run(bert, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = json.loads((Path(bert[0]) / "config.json").read_text())
    pickled, coded = tmp_path / "pickled", tmp_path / "coded"
    for folder in (pickled, coded):
        folder.mkdir()
    (pickled / "config.json").write_text(json.dumps(config))
    torch.save({"pooler.dense.weight": Trap()}, pickled / "pytorch_model.bin")
    own = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (coded / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": own}))
    (coded / "own.py").write_text("open('trapped', 'w')\n")
    for folder in (pickled, coded):
        with pytest.raises(ValueError, match=f"weights={folder}: cannot be had in that folder"):
            HuggingFaceText(weights=str(folder))
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HuggingFaceText(vocab_size=9, architecture="bird"), "transformers has none; did"),
        (lambda: HuggingFaceText(), "vocab_size: needed where weights is null"),
        (
            lambda: HuggingFaceText(vocab_size=9, width=30, depth=1, num_heads=4),
            "architecture=bert: .*multiple of the number of attention",
        ),
        (
            lambda: HuggingFaceText(vocab_size=9, max_length=600, **SMALL),
            r"max_length=600: .* so many tokens \(max_position_embeddings=512\)",
        ),
        (
            lambda: HuggingFaceText(weights="./nowhere"),
            "weights=./nowhere: there is no such folder",
        ),
        (lambda: HuggingFaceText(weights=__file__), "name the folder that holds its config.json"),
        (lambda: HuggingFaceImage(mean=[0.5] * 3, **SMALL), "mean and std: give both"),
        (
            lambda: HuggingFaceAudio(architecture="wav2vec2-conformer", **SMALL),
            "wav2vec2-conformer: what this model hears is not known here; there are: wav2vec2",
        ),
    ],
)
def test_what_they_refuse(make, message):
    with pytest.raises(ValueError, match=message):
        make()


OFFLINE = """
from mmtx_cli.encoder.audio.huggingface import HuggingFaceAudio
from mmtx_cli.encoder.image.huggingface import HuggingFaceImage
from mmtx_cli.encoder.text.huggingface import HuggingFaceText
from mmtx_cli.encoder.video.huggingface import HuggingFaceVideo

kinds = (HuggingFaceText, HuggingFaceImage, HuggingFaceVideo, HuggingFaceAudio)
for make in (HuggingFaceText.tokenizer_json, *kinds):
    try:
        make(weights="nobody/nothing")
    except ValueError as error:
        print(error)
"""


def test_a_name_that_cannot_be_had_is_one_clear_message(tmp_path):
    place = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        env={**os.environ, **place, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = run.stdout.splitlines()
    assert len(lines) == 5, run.stdout
    for line in lines:
        assert line.startswith("weights=nobody/nothing: cannot be had on the hub (")
        assert "or a local folder with its " in line


UNUSED = """
import sys
from hydra.utils import instantiate
from mmtx_cli.cli import main

sys.argv = ["mmtx", "--help"]
try:
    main()
except SystemExit:
    pass
assert not {"torch", "transformers", "timm"} & sys.modules.keys()
import mmtx_cli.training.optimizer
for target, sizes in [
    ("mmtx_cli.encoder.image.vit.ImageViT", {"width": 8, "depth": 1, "num_heads": 1}),
    ("mmtx_cli.encoder.image.cnn.ImageCnn", {"width": 8, "depth": 1, "num_heads": 1}),
    ("mmtx_cli.encoder.text.transformer.TextTransformer", {"vocab_size": 9}),
]:
    instantiate({"_target_": target, **sizes})
assert not {"transformers", "timm"} & sys.modules.keys()
"""


def test_nothing_heavy_is_imported_that_is_not_used():
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", UNUSED], env=environment, check=True)
