"""timm's networks: against timm itself, and what they refuse."""

import sys

import pytest
import torch
from torch import nn

from mmtx_cli.encoder.image.timm import TimmImageEncoder
from mmtx_cli.types import ModalityInput
from tests.messages import faults_mention, raises
from tests.tiny import same, tiny_field

from .hub_models import offline_output

timm = pytest.importorskip("timm")

SMALL = {"width": 32, "depth": 2, "num_heads": 2}
NAME = "vit_small_patch16_224"


def trained(module):
    return {name for name, p in module.named_parameters() if p.requires_grad}


def test_a_transformer_gives_its_tokens():
    encoder = TimmImageEncoder(image_size=64, **SMALL).eval()
    given = tiny_field("image", [2, 0, 1])
    tokens = encoder(given)
    assert tokens.x.shape == (3, 2 * (1 + 16), 32)
    pixels = (given.data[2, 0][None].float() / 255 - 0.5) / 0.5  # as this model's configuration has
    same(tokens.x[2:, :17], encoder.body.forward_features(pixels), 1e-5)
    assert encoder.position is None
    assert len(encoder.blocks()) == 3
    outside = {id(p) for part in encoder.blocks() for p in part.parameters()}
    assert {n for n, p in encoder.named_parameters() if id(p) not in outside} == {
        "body.norm.weight",
        "body.norm.bias",
    }


@pytest.mark.parametrize(
    ("name", "channels", "blocks"), [("resnet18", 512, 5), ("mobilenetv3_small_050", 288, 7)]
)
def test_a_map_gives_its_cells_row_by_row(name, channels, blocks):
    encoder = TimmImageEncoder(image_size=64, name=name).eval()
    given = tiny_field("image", [1, 2])
    x = encoder(given).x
    assert x.shape == (2, 2 * 4, channels)
    cells = encoder.body.forward_features(encoder.pixels(given.data[1])).flatten(2).mT
    same(x[1].view(2, 4, channels), cells + encoder.position(2, 2), 1e-4)
    same(encoder.pooled_features(given)[1], cells.mean(dim=(0, 1)), 1e-4)
    assert len(encoder.blocks()) == blocks


def test_a_map_whose_channels_come_last(monkeypatch):
    small = {"embed_dim": 8, "depths": (1, 1), "num_heads": (2, 2), "window_size": 4}
    swin = timm.models.SwinTransformer(img_size=64, num_classes=0, **small)
    swin.pretrained_cfg = {"mean": [0.5] * 3, "std": [0.5] * 3}
    monkeypatch.setattr("mmtx_cli.encoder.image.timm.timm_model", lambda *args: swin)
    encoder = TimmImageEncoder(64, "swin_tiny_patch4_window7_224").eval()
    given = tiny_field("image", [1, 1])
    cells = swin.forward_features(encoder.pixels(given.data[:, 0]))
    assert cells.shape == (2, 8, 8, 16)
    same(encoder(given).x, cells.flatten(1, 2) + encoder.position(8, 8), 1e-5)
    assert len(encoder.blocks()) == 3


def test_weights_from_a_file(tmp_path):
    torch.manual_seed(1)
    source = timm.create_model("resnet18", num_classes=10).eval()
    torch.save({"state_dict": source.state_dict()}, tmp_path / "mine.pth")
    from safetensors.torch import save_file

    save_file(source.state_dict(), tmp_path / "mine.safetensors")
    given = tiny_field("image", [1, 1])
    for file in ("mine.pth", "mine.safetensors"):
        encoder = TimmImageEncoder(64, "resnet18", str(tmp_path / file), freeze=True).eval()
        wanted = source.forward_features(encoder.pixels(given.data[:, 0]))
        same(encoder.pooled_features(given), wanted.mean(dim=(2, 3)), 1e-4)
        assert "state_dict" not in encoder.body.pretrained_cfg
        assert trained(encoder) == {"position.grid"}
        assert not any(module.training for module in encoder.train().body.modules())


def test_weights_of_another_network_are_no_weights(tmp_path):
    state = timm.create_model("resnet18", num_classes=0).state_dict()
    odd = {f"module.{name}": x for name, x in state.items()}
    part = {name: x for name, x in state.items() if not name.startswith("layer4")}
    for file, tensors, lacking in (
        ("odd.pth", odd, "conv1.weight"),
        ("part.pth", part, "layer4."),
        ("foo.pth", {"foo": state["conv1.weight"]}, "conv1.weight"),
    ):
        torch.save(tensors, tmp_path / file)
        with raises(ValueError, f"weights={tmp_path / file}", "tensors of resnet18", f" {lacking}"):
            TimmImageEncoder(64, "resnet18", str(tmp_path / file))


def test_positions_stretch_to_pictures_of_another_size(tmp_path):
    source = timm.create_model("vit_tiny_patch16_224", num_classes=0)
    torch.save(source.state_dict(), tmp_path / "vit.pt")
    encoder = TimmImageEncoder(64, "vit_tiny_patch16_224", str(tmp_path / "vit.pt"))
    assert encoder.body.pos_embed.shape == (1, 1 + 16, 192)
    assert torch.equal(encoder.body.blocks[3].attn.qkv.weight, source.blocks[3].attn.qkv.weight)
    torch.testing.assert_close(encoder.body.pos_embed[:, 0], source.pos_embed[:, 0])


def test_frozen_blocks_and_adapters():
    frozen = TimmImageEncoder(64, freeze=1, **SMALL).train()
    assert {name.split(".")[1] for name in trained(frozen)} == {"blocks", "norm"}
    assert [block.training for block in frozen.body.blocks] == [False, True]
    torch.manual_seed(2)
    plain = TimmImageEncoder(64, **SMALL).eval()
    torch.manual_seed(2)
    encoder = TimmImageEncoder(64, lora=3, **SMALL).eval()
    given = tiny_field("image", [1, 1])
    same(encoder(given).x, plain(given).x)
    assert trained(encoder) == {
        f"body.blocks.{i}.attn.{layer}.{part}.weight"
        for i in (0, 1)
        for layer in ("qkv", "proj")
        for part in ("down", "up")
    }
    for name, parameter in encoder.named_parameters():
        if name.endswith("up.weight"):
            nn.init.normal_(parameter)
    other = TimmImageEncoder(64, lora=3, **SMALL).eval()
    other.load_state_dict(encoder.state_dict())
    same(other(given).x, encoder(given).x)


def test_statistics_of_the_pixels():
    configured = TimmImageEncoder(32, "resnet18", mean=[0.1, 0.2, 0.3], std=[1.0, 2.0, 3.0])
    given = configured.rebuild_kwargs()
    assert given.pop("weights") is None
    assert {key: pytest.approx(value) for key, value in given.items()} == {
        "mean": [0.1, 0.2, 0.3],
        "std": [1.0, 2.0, 3.0],
    }
    own = TimmImageEncoder(32, "resnet18").pixels
    assert own.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"name": "resnet19"}, ["timm", "'resnet19'", " resnet18"]),
        ({"name": "resnet18", "width": 16}, ["name='resnet18', ", "unexpected keyword argument"]),
        ({"name": "resnet18", "lora": 2}, ["lora=2: ", "linear projections"]),
        ({"name": "densenet121", "freeze": 2}, ["freeze=2: ", "blocks", "true or false"]),
        (
            {"weights": "default", "width": 16},
            ["patch_size, width, depth and num_heads", "weights=default"],
        ),
        ({"weights": "./none.pth"}, ["weights=./none.pth: ", "file"]),
        ({"name": "hf-hub:timm/resnet18", "weights": "a1_in1k"}, ["weights=a1_in1k", " default"]),
    ],
)
def test_what_it_refuses(kwargs, parts):
    with raises(ValueError, *parts):
        TimmImageEncoder(64, **kwargs)


def test_a_package_that_is_not_there(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with raises(ValueError, "installed (timm)", "pip install mmtx[timm]"):
        TimmImageEncoder(64)


OFFLINE = """
from mmtx_cli.encoder.image.timm import TimmImageEncoder

for name, weights in [("resnet18", "default"), ("resnet18", "a1_in1k"), ("resnet18", "best")]:
    try:
        TimmImageEncoder(64, name, weights)
    except ValueError as error:
        print(error)
"""


@pytest.mark.slow
def test_unavailable_weights_are_one_clear_message(tmp_path):
    lines = offline_output(OFFLINE, tmp_path)
    assert len(lines) == 3, lines
    for line, weights in zip(lines, ("default", "a1_in1k", "best"), strict=True):
        faults_mention([line], (f"weights={weights}: ", "resnet18: "))


def test_pictures_are_read_at_their_own_size_only():
    encoder = TimmImageEncoder(64, **SMALL)
    small = ModalityInput(torch.zeros(1, 1, 3, 32, 32, dtype=torch.uint8), torch.ones(1, 1).bool())
    with pytest.raises(AssertionError, match="Input height"):
        encoder(small)
