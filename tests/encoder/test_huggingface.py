"""Encoders of the transformers library: against the library itself, and what they refuse."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from mmtx_cli.config.schema import OptimizerSettings
from mmtx_cli.encoder.audio.huggingface import HuggingFaceAudioEncoder
from mmtx_cli.encoder.image.huggingface import HuggingFaceImageEncoder
from mmtx_cli.encoder.text.huggingface import HuggingFaceTextEncoder
from mmtx_cli.training.optimizer import make_optimizer
from mmtx_cli.types import ModalityInput
from tests.messages import faults_mention, raises
from tests.tiny import same

from .hub_models import (
    CONFIG,
    IDS,
    MASK,
    SMALL,
    check_padding_and_gradients,
    offline_output,
    saved,
    trained,
)

library = pytest.importorskip("transformers")


@pytest.mark.parametrize("name", ["roberta", "distilbert", "mpnet", "t5", "deberta-v2", "gpt2"])
def test_texts_of_many_architectures(name):
    encoder = HuggingFaceTextEncoder(vocab_size=30, max_length=8, architecture=name, **SMALL)
    assert encoder.width == 32
    assert len(encoder.blocks()) == 3
    check_padding_and_gradients(encoder, ModalityInput(IDS, MASK))


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    torch.manual_seed(0)
    model = library.BertModel(library.BertConfig(vocab_size=30, **CONFIG))
    return saved(model, tmp_path_factory.mktemp("bert")), model


def test_pretrained_text(bert):
    folder, model = bert
    encoder = HuggingFaceTextEncoder(weights=folder, vocab_size=8000).eval()
    tokens = encoder(ModalityInput(IDS, MASK))
    wanted = model(IDS * MASK, attention_mask=(MASK | (torch.arange(4) == 1)[:, None]).long())
    same(tokens.x[MASK], wanted.last_hidden_state[MASK], 1e-6)
    assert trained(encoder) == {n for n, _ in encoder.named_parameters() if "pooler" not in n}


def test_blocks_of_a_text_encoder_are_frozen_one_by_one(bert):
    encoder = HuggingFaceTextEncoder(weights=bert[0], freeze=1).train()
    names = trained(encoder)
    assert names
    assert all(name.startswith("body.encoder.layer.1.") for name in names)
    assert not encoder.body.embeddings.dropout.training
    assert [layer.training for layer in encoder.body.encoder.layer] == [False, True]
    with raises(ValueError, "freeze=3: ", " 2 blocks"):
        HuggingFaceTextEncoder(weights=bert[0], freeze=3)


def test_adapters_of_a_text_encoder(bert):
    plain = HuggingFaceTextEncoder(weights=bert[0]).eval()
    encoder = HuggingFaceTextEncoder(weights=bert[0], lora=4).eval()
    given = ModalityInput(IDS, MASK)
    same(encoder(given).x, plain(given).x)
    names = trained(encoder)
    assert len(names) == 2 * 4 * 2  # blocks; query, key, value, out; down, up
    assert sum(p.numel() for p in encoder.parameters() if p.requires_grad) == 2 * 4 * 2 * 4 * 32
    for name, parameter in encoder.named_parameters():
        if name.endswith("up.weight"):
            nn.init.normal_(parameter)
    other = HuggingFaceTextEncoder(weights=bert[0], lora=4).eval()
    other.load_state_dict(encoder.state_dict())
    same(other(given).x, encoder(given).x)
    assert not torch.allclose(other(given).x, plain(given).x, atol=1e-3)


def test_the_learning_rate_decays_towards_the_embeddings(bert):
    encoder = HuggingFaceTextEncoder(weights=bert[0], freeze=1)
    free = HuggingFaceTextEncoder(weights=bert[0])
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
    encoder = HuggingFaceTextEncoder(weights=bert[0], freeze=True).eval()
    kept = json.loads(json.dumps(encoder.rebuild_kwargs()))  # plain data only
    assert kept["weights"] is None
    again = HuggingFaceTextEncoder(max_length=64, **kept).eval()
    again.load_state_dict(encoder.state_dict())
    given = ModalityInput(IDS, MASK)
    same(again(given).x, encoder(given).x)


def test_a_tokenizer_is_read_from_its_folder_without_the_library(tmp_path, monkeypatch):
    text = '{"version": "1.0", "model": {"type": "WordPiece"}}'
    (tmp_path / "tokenizer.json").write_text(text)
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert HuggingFaceTextEncoder.tokenizer_json(str(tmp_path)) == text
    assert HuggingFaceTextEncoder.brings_tokenizer is True
    with raises(ValueError, "installed (transformers)", "pip install mmtx[hf]"):
        HuggingFaceTextEncoder.tokenizer_json(str(tmp_path / "none"))
    with raises(ValueError, "installed (transformers)", "pip install mmtx[hf]"):
        HuggingFaceTextEncoder(vocab_size=30)


def test_a_tokenizer_without_json_is_loaded_by_the_library(tmp_path):
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "dog", "##s"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    library.BertConfig(vocab_size=7).save_pretrained(tmp_path)
    from tokenizers import Tokenizer

    made = Tokenizer.from_str(HuggingFaceTextEncoder.tokenizer_json(str(tmp_path)))
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
    with raises(ValueError, "weights=", "1 tensors", "(encoder.layer.1.output.dense.weight"):
        HuggingFaceTextEncoder(weights=lacking)


def test_weights_that_lack_what_nobody_reads(bert, tmp_path):
    lacking = changed(bert[0], tmp_path, lambda s: s.pop("pooler.dense.weight"))
    assert HuggingFaceTextEncoder(weights=lacking).width == 32


def test_a_size_that_is_not_the_models(bert):
    assert HuggingFaceTextEncoder(weights=bert[0], **SMALL).width == 32
    with raises(ValueError, "width=16: ", bert[0], " 32"):
        HuggingFaceTextEncoder(weights=bert[0], width=16)


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
        with raises(ValueError, f"weights={folder}: ", "folder"):
            HuggingFaceTextEncoder(weights=str(folder))
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize(
    ("make", "parts"),
    [
        (
            lambda: HuggingFaceTextEncoder(vocab_size=9, architecture="bird"),
            ["architecture='bird': ", "transformers"],
        ),
        (lambda: HuggingFaceTextEncoder(), ["vocab_size: ", "weights"]),
        (
            lambda: HuggingFaceTextEncoder(vocab_size=9, width=30, depth=1, num_heads=4),
            ["architecture=bert: ", "multiple of the number of attention"],
        ),
        (
            lambda: HuggingFaceTextEncoder(vocab_size=9, max_length=600, **SMALL),
            ["max_length=600: ", "tokens", "max_position_embeddings=512"],
        ),
        (lambda: HuggingFaceTextEncoder(weights="./nowhere"), ["weights=./nowhere: ", "folder"]),
        (lambda: HuggingFaceTextEncoder(weights=__file__), [__file__, "folder", "config.json"]),
        (
            lambda: HuggingFaceImageEncoder(image_size=32, architecture="resnet", **SMALL),
            ["resnet ", "width 2048", "4 blocks", "width=32, depth=2: "],
        ),
        (lambda: HuggingFaceImageEncoder(mean=[0.5] * 3, **SMALL), ["mean and std: ", "both"]),
        (
            lambda: HuggingFaceAudioEncoder(architecture="wav2vec2-conformer", **SMALL),
            ["wav2vec2-conformer: ", " wav2vec2, "],
        ),
    ],
)
def test_what_they_refuse(make, parts):
    with raises(ValueError, *parts):
        make()


OFFLINE = """
from mmtx_cli.encoder.audio.huggingface import HuggingFaceAudioEncoder
from mmtx_cli.encoder.image.huggingface import HuggingFaceImageEncoder
from mmtx_cli.encoder.text.huggingface import HuggingFaceTextEncoder
from mmtx_cli.encoder.video.huggingface import HuggingFaceVideoEncoder

kinds = (
    HuggingFaceTextEncoder,
    HuggingFaceImageEncoder,
    HuggingFaceVideoEncoder,
    HuggingFaceAudioEncoder,
)
for make in (HuggingFaceTextEncoder.tokenizer_json, *kinds):
    try:
        make(weights="nobody/nothing")
    except ValueError as error:
        print(error)
"""


def test_an_unavailable_name_is_one_clear_message(tmp_path):
    lines = offline_output(OFFLINE, tmp_path)
    assert len(lines) == 5, lines
    for line in lines:
        faults_mention([line], ("weights=nobody/nothing: ", "hub (", "local folder"))


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
    ("mmtx_cli.encoder.image.vit.ViTImageEncoder", {"width": 8, "depth": 1, "num_heads": 1}),
    ("mmtx_cli.encoder.image.cnn.CnnImageEncoder", {"width": 8, "depth": 1, "num_heads": 1}),
    ("mmtx_cli.encoder.text.transformer.TransformerTextEncoder", {"vocab_size": 9}),
]:
    instantiate({"_target_": target, **sizes})
assert not {"transformers", "timm"} & sys.modules.keys()
"""


def test_nothing_heavy_is_imported_that_is_not_used():
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", UNUSED], env=environment, check=True)
