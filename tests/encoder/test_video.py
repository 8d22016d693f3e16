"""What the video encoders do beyond the contract."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torchvision.models import get_model
from torchvision.models.video.mvit import MSBlockConfig, MViT

from mmtx_cli.encoder.backbone.torchvision_video_body import (
    kinetics_pixels,
    video_body,
    without_classifier,
)
from mmtx_cli.encoder.base import spread_frames
from mmtx_cli.encoder.image.vit import ViTImageEncoder
from mmtx_cli.encoder.video.per_frame import PerFrameVideoEncoder
from mmtx_cli.encoder.video.torchvision import TorchvisionVideoEncoder
from mmtx_cli.encoder.video.vit import ViTVideoEncoder
from mmtx_cli.errors import ConfigError
from mmtx_cli.layer.masking import split_patches
from mmtx_cli.model.build import component
from mmtx_cli.runs.model_config import change
from mmtx_cli.types import ModalityInput
from tests.messages import raises
from tests.tiny import composed, gradients, tiny_encoder, tiny_field

SMALL = {"width": 16, "depth": 1, "num_heads": 2}
VIT = {"image_size": 16, "patch_size": 8, "num_frames": 4, **SMALL}
IMAGE = {"image_size": 16, "patch_size": 8, **SMALL}
CNN3D = {"image_size": 32, "num_frames": 8, **SMALL}


def video(*counts, side=16, seed=0):
    random = torch.Generator().manual_seed(seed)
    n = max(counts)
    data = torch.randint(0, 256, (len(counts), n, 3, side, side), generator=random)
    return ModalityInput(data.to(torch.uint8), torch.arange(n) < torch.tensor(counts)[:, None])


def backwards(field):
    """The same frames from the last to the first."""
    return ModalityInput(field.data.flip(1), field.mask.flip(1))


class TestFrames:
    def test_a_frame_is_a_picture(self):
        """Without positions and Transformer, what comes out is the image encoder's mean."""
        encoder = PerFrameVideoEncoder(ViTImageEncoder(**IMAGE), num_frames=3, **SMALL).eval()
        encoder.transformer, encoder.project = nn.ModuleList([Passing()])[0], nn.Identity()
        without_order(encoder)
        field = video(3)
        for i, token in enumerate(encoder(field).x[0]):
            picture = encoder.image(ModalityInput(field.data[:, i : i + 1], field.mask[:, :1]))
            torch.testing.assert_close(token, picture.x[0].mean(dim=0))

    @pytest.mark.parametrize("tokens_per_frame", [1, 3])
    def test_so_many_tokens_a_frame(self, tokens_per_frame):
        image = ViTImageEncoder(**IMAGE)
        encoder = PerFrameVideoEncoder(
            image, num_frames=4, tokens_per_frame=tokens_per_frame, **SMALL
        )
        tokens = encoder(video(4, 2))
        assert tokens.mask.sum(dim=1).tolist() == [4 * tokens_per_frame, 2 * tokens_per_frame]
        assert encoder.rebuild_kwargs() == {}
        tokens.x[tokens.mask].pow(3).sum().backward()
        assert gradients(encoder).keys() == dict(encoder.named_parameters()).keys()

    def test_several_tokens_of_a_frame_differ(self):
        encoder = PerFrameVideoEncoder(ViTImageEncoder(**IMAGE), tokens_per_frame=2, **SMALL).eval()
        a, b = encoder(video(1)).x[0]
        assert (a - b).abs().max() > 1e-3

    def test_the_order_of_the_frames_matters(self):
        encoder = PerFrameVideoEncoder(ViTImageEncoder(**IMAGE), num_frames=3, **SMALL).eval()
        there, back = encoder(video(3)).x.flip(1), encoder(backwards(video(3))).x
        assert (there - back).abs().max() > 1e-4
        without_order(encoder)
        torch.testing.assert_close(encoder(video(3)).x.flip(1), encoder(backwards(video(3))).x)

    def test_another_image_encoder_from_the_command_line(self):
        cnn = "encoder/image@encoder.video.image=cnn"
        node = composed("encoder/video=per_frame", cnn)["encoder"]["video"]
        assert node["image"]["_target_"].endswith("CnnImageEncoder")
        encoder = component("encoder.video", {**node, "tokens_per_frame": 2})
        assert encoder(tiny_field("video", [2])).x.shape == (1, 4, 16)
        assert encoder.rebuild_kwargs() == {"image": {"weights": None}}
        change(node, encoder.rebuild_kwargs())
        rebuilt = component("encoder.video", {**node, "tokens_per_frame": 2})
        rebuilt.load_state_dict(encoder.state_dict())
        assert len(encoder.blocks()) == len(encoder.image.blocks())

    def test_what_it_refuses(self):
        with raises(ValueError, "image=None ", "encoder", "encoder.video.image._target_="):
            PerFrameVideoEncoder(None)
        with raises(ValueError, "tokens_per_frame=0: ", "one token"):
            PerFrameVideoEncoder(ViTImageEncoder(**IMAGE), tokens_per_frame=0)


def without_order(encoder):
    """Neither positions nor what changes from frame to frame."""
    for parameter in (encoder.position.places, *encoder.change.parameters()):
        nn.init.zeros_(parameter)


@pytest.mark.parametrize(("attention", "masking"), [("joint", "random"), ("divided", "tube")])
def test_hidden_tubelets_have_no_part(attention, masking):
    """Nor do they show through what changes from moment to moment."""
    encoder = ViTVideoEncoder(**VIT, attention=attention, stem="patch", tubelet_size=1).eval()
    field = video(4, 3)
    patches = encoder.patches(field)
    scores = torch.rand(patches.mask.shape)
    shown, hidden = split_patches(patches.mask, 0.5, masking, patches.patches_per_step, scores)
    other = field.data.clone()
    for i in range(2):
        for index in hidden.index[i][hidden.mask[i]].tolist():
            moment, row, column = index // 4, index // 2 % 2 * 8, index % 2 * 8
            other[i, moment, :, row : row + 8, column : column + 8] = 7
    assert not other.equal(field.data)
    wanted, found = (encoder(replace(field, data=d, visible=shown)) for d in (field.data, other))
    torch.testing.assert_close(found.x[found.mask], wanted.x[wanted.mask])


class Passing(nn.Module):
    def forward(self, x, mask=None):
        return x


@pytest.mark.parametrize("attention", ["divided", "joint"])
class TestViT:
    def test_one_token_a_tubelet(self, attention):
        encoder = ViTVideoEncoder(tubelet_size=2, attention=attention, **VIT)
        tokens = encoder(video(5, 2))  # the third tubelet holds one frame
        assert tokens.x.shape == (2, 3 * 4, 16)
        assert tokens.mask.sum(dim=1).tolist() == [12, 4]
        assert encoder(video(2, side=24)).x.shape == (1, 9, 16)  # another size stretches

    @pytest.mark.parametrize("tubelet_size", [1, 2, 3])
    def test_padding_does_not_matter(self, attention, tubelet_size):
        encoder = ViTVideoEncoder(tubelet_size=tubelet_size, attention=attention, **VIT).eval()
        field = video(7, 3, 1)
        together = encoder(field)
        for i, count in enumerate((7, 3, 1)):
            alone = encoder(
                ModalityInput(field.data[i : i + 1, :count], field.mask[i : i + 1, :count])
            )
            own = together.x[i][together.mask[i]]
            torch.testing.assert_close(own, alone.x[0], atol=1e-5, rtol=1e-5)

    def test_tokens_come_moment_after_moment_and_row_by_row(self, attention):
        encoder = ViTVideoEncoder(tubelet_size=2, attention=attention, stem="patch", **VIT).eval()
        encoder.transformer = Passing()
        field = video(4)
        before = encoder(field).x
        field.data[0, 3, :, :8, 8:] ^= 255  # the second moment, upper right
        changed = (encoder(field).x != before).any(dim=2)
        assert changed[0].tolist() == [False] * 5 + [True] + [False] * 2

    def test_time_and_space_are_told_apart(self, attention):
        encoder = ViTVideoEncoder(tubelet_size=1, attention=attention, **VIT).eval()
        there, back = encoder(video(3)).x, encoder(backwards(video(3))).x
        assert (there.unflatten(1, (3, 4)).flip(1) - back.unflatten(1, (3, 4))).abs().max() > 1e-4

    def test_blocks(self, attention):
        encoder = ViTVideoEncoder(attention=attention, **{**VIT, "depth": 3})
        assert len(encoder.blocks()) == 4
        held = {id(p) for block in encoder.blocks() for p in block.parameters()}
        outside = {name for name, p in encoder.named_parameters() if id(p) not in held}
        assert outside == {"transformer.norm.weight", "transformer.norm.bias"}


def test_divided_attention_over_time_keeps_to_a_place():
    encoder = ViTVideoEncoder(tubelet_size=1, attention="divided", **VIT).eval()
    block = encoder.transformer.blocks[0]
    x, mask = torch.randn(1, 3, 4, 16), torch.ones(1, 3, dtype=torch.bool)
    nn.init.zeros_(block.space.out.weight)
    before = block(x, mask)
    x[0, 2, 1] = torch.randn(16)
    changed = ((block(x, mask) - before).abs().amax(dim=3)[0] > 1e-6).tolist()
    assert changed == [[False, True, False, False]] * 3


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"attention": "none"}, ["attention='none' ", "divided, joint"]),
        ({"image_size": 20}, ["image_size=20 ", "multiple", "patch_size=8"]),
        ({"tubelet_size": 0}, ["tubelet_size=0: ", "frame"]),
    ],
)
def test_what_a_vit_refuses(kwargs, parts):
    with raises(ValueError, *parts):
        ViTVideoEncoder(**{**VIT, **kwargs})


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vit", "per_frame"])
def test_learns_which_way_a_square_moves(name):
    """No single frame tells: only their order does."""
    torch.manual_seed(1)
    vit = ViTVideoEncoder(tubelet_size=1, **{**VIT, "width": 32})
    image = ViTImageEncoder(**{**IMAGE, "width": 32})
    encoder = (
        vit
        if name == "vit"
        else PerFrameVideoEncoder(image, num_frames=4, **{**SMALL, "width": 32})
    )
    data = torch.zeros(16, 4, 3, 16, 16, dtype=torch.uint8)
    for i in range(16):
        for t in range(4):
            x = 4 * (t if i % 2 else 3 - t)
            data[i, t, :, i // 2 : i // 2 + 6, x : x + 4] = 255
    field, way = ModalityInput(data, torch.ones(16, 4, dtype=torch.bool)), torch.arange(16) % 2
    head = nn.Linear(32, 2)
    optimizer = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(150):
        loss = nn.functional.cross_entropy(head(encoder.train()(field).x.mean(dim=1)), way)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    predicted = head(encoder.eval()(field).x.mean(dim=1)).argmax(dim=1)
    assert torch.equal(predicted, way)


def test_frames_are_spread_over_the_real_ones():
    data = torch.arange(5).view(1, 5, 1, 1, 1).expand(4, 5, 3, 2, 2).to(torch.uint8) + 1
    mask = torch.tensor([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 1, 0, 0, 1], [0] * 5]).bool()
    field = ModalityInput(data, mask)
    assert spread_frames(field, 5)[0, :, 0, 0, 0].tolist() == [1, 2, 3, 4, 5]
    assert spread_frames(field, 3)[..., 0, 0, 0].tolist() == [
        [1, 3, 5],
        [1, 2, 2],
        [2, 5, 5],
        [0, 0, 0],
    ]
    assert spread_frames(field, 8)[1, :, 0, 0, 0].tolist() == [1, 1, 1, 1, 2, 2, 2, 2]


@pytest.mark.parametrize("body", ["r3d_18", "mc3_18", "r2plus1d_18", "swin3d_t"])
def test_features_are_torchvisions(body):
    torch.manual_seed(1)
    whole = get_model(body).eval()
    torch.manual_seed(1)
    encoder = TorchvisionVideoEncoder(body=body, **CNN3D).eval()
    field = video(8, side=32)
    pixels = kinetics_pixels(body)(field.data).transpose(1, 2)
    setattr(whole, "head" if body.startswith("swin") else "fc", nn.Identity())
    torch.testing.assert_close(encoder.pooled_features(field), whole(pixels), atol=1e-5, rtol=1e-4)
    moments = {"r3d_18": 1, "mc3_18": 8, "r2plus1d_18": 1, "swin3d_t": 4}[body]
    cells = 1 if body.startswith("swin") else 4
    assert encoder(field).x.shape == (1, moments * cells, 16)


def small_mvit(relative):
    torch.manual_seed(2)
    sizes = [[3, 3, 3], [3, 3, 3], [1, 2, 2], [1, 1, 1]]
    settings = [MSBlockConfig(2, 16, 16, *sizes), MSBlockConfig(2, 16, 16, *sizes)]
    return MViT((32, 32), 4, settings, False, False, relative, False).eval()


@pytest.mark.parametrize("relative", [False, True])
def test_a_mvit_is_torchvisions(relative):
    model, kept = small_mvit(relative), []
    model.norm.register_forward_hook(lambda module, args, out: kept.append(out))
    pixels = torch.randn(2, 3, 4, 32, 32)
    with torch.no_grad():
        model(pixels)
        body = without_classifier(model)
        got = body(pixels)
        torch.testing.assert_close(got.flatten(2).mT, kept[0][:, 1:])
        # another size stretches the positions
        assert body(torch.randn(1, 3, 6, 64, 32)).shape == (1, 16, 3, 4, 2)


@pytest.mark.parametrize("tokens", ["cell", "time"])
def test_cells_or_moments(tokens):
    encoder = TorchvisionVideoEncoder(body="mc3_18", body_depth=3, tokens=tokens, **CNN3D)
    got = encoder(video(3, 0, side=32))
    assert got.mask.sum(dim=1).tolist() == [8 * 64 if tokens == "cell" else 8, 0]
    got.x[got.mask].pow(3).sum().backward()
    assert gradients(encoder).keys() == dict(encoder.named_parameters()).keys()


def test_its_first_blocks_are_frozen():
    encoder = TorchvisionVideoEncoder(body_depth=3, freeze=2, **CNN3D).train()
    stem, *blocks = encoder.blocks()
    modes = [(block.training, next(block.parameters()).requires_grad) for block in blocks]
    assert modes == [(False, False), (False, False), (True, True)]
    assert not stem.training
    with raises(ValueError, "freeze=4: ", " 3 blocks"):
        TorchvisionVideoEncoder(body_depth=3, freeze=4, **CNN3D)


def test_weights_from_a_file(tmp_path):
    whole = get_model("r3d_18")
    torch.save(whole.state_dict(), tmp_path / "mine.pth")
    encoder = TorchvisionVideoEncoder(weights=str(tmp_path / "mine.pth"), body_depth=1, **CNN3D)
    assert torch.equal(encoder.body.stem[0].weight, whole.stem[0].weight)
    assert encoder.rebuild_kwargs() == {"weights": None}


@pytest.mark.parametrize(
    ("kwargs", "parts"),
    [
        ({"body": "resnet18"}, ["body='resnet18' ", " r3d_18, "]),
        ({"weights": "IMAGENET1K_V1"}, ["weights=IMAGENET1K_V1: ", "r3d_18"]),
        ({"weights": "./none.pth"}, ["weights=./none.pth: ", "file"]),
        ({"body_depth": 9}, ["body_depth=9: ", "r3d_18 ", " 8 blocks"]),
        ({"tokens": "space"}, ["tokens='space' ", "'cell'", "'time'"]),
        ({"num_frames": 0}, ["num_frames=0: ", " 1"]),
        ({"lora": 2}, ["lora=2: ", "linear projections"]),
    ],
)
def test_what_it_refuses(kwargs, parts):
    with raises(ValueError, *parts):
        TorchvisionVideoEncoder(**{**CNN3D, **kwargs})


def test_a_refusal_reads_well():
    with raises(ConfigError, "encoder.video: body='resnet18' ", " r3d_18, mc3"):
        tiny_encoder("video", "torchvision", "encoder.video.body=resnet18")


def test_kinetics_pixels():
    assert kinetics_pixels("r3d_18").mean.flatten().tolist() == pytest.approx(
        [0.43216, 0.394666, 0.37645]
    )
    assert kinetics_pixels("mvit_v2_s").std.flatten().tolist() == pytest.approx([0.225] * 3)


def test_every_body_can_be_cut():
    assert len(video_body("swin3d_t", None, 2).layers) == 2
