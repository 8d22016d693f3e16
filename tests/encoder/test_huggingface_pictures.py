"""Image and video encoders of the transformers library, against the library itself."""

import pytest
import torch

from mmtx_cli.encoder.image.huggingface import HuggingFaceImageEncoder
from mmtx_cli.encoder.text.huggingface import HuggingFaceTextEncoder
from mmtx_cli.encoder.video.huggingface import HuggingFaceVideoEncoder
from mmtx_cli.types import ModalityInput
from tests.messages import raises
from tests.tiny import same

from .hub_models import CONFIG, IDS, MASK, SMALL, check_padding_and_gradients, pictures, saved

library = pytest.importorskip("transformers")


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
    encoder = HuggingFaceImageEncoder(image_size=32, architecture=name, config=config, **sizes)
    check_padding_and_gradients(encoder, ModalityInput(pictures(), MASK))


@pytest.mark.parametrize("name", ["timesformer", "vivit"])
def test_videos_of_many_architectures(name):
    config = {"tubelet_size": [2, 16, 16]} if name == "vivit" else {}
    encoder = HuggingFaceVideoEncoder(
        32, num_frames=4, architecture=name, patch_size=16, config=config, **SMALL
    )
    check_padding_and_gradients(encoder, ModalityInput(pictures(), MASK))


def test_pretrained_pictures(tmp_path):
    model = library.ViTModel(library.ViTConfig(image_size=32, patch_size=16, **CONFIG))
    processor = library.ViTImageProcessor(
        image_mean=[0.1, 0.2, 0.3], image_std=[0.5, 0.6, 0.7], do_resize=False
    )
    folder = saved(model, tmp_path, processor)
    encoder = HuggingFaceImageEncoder(image_size=32, weights=folder).eval()
    data = pictures(t=1)
    given = ModalityInput(data, torch.ones(4, 1, dtype=torch.bool))
    wanted = model(**processor(list(data[:, 0]), return_tensors="pt")).last_hidden_state
    same(encoder(given).x, wanted, 1e-5)
    again = HuggingFaceImageEncoder(image_size=32, **encoder.rebuild_kwargs()).eval()
    again.load_state_dict(encoder.state_dict())
    same(again(given).x, wanted, 1e-5)
    # positions stretch to pictures of another size
    larger = HuggingFaceImageEncoder(image_size=48, weights=folder).eval()
    assert larger(ModalityInput(pictures(48), MASK)).x.shape == (4, 5 * 10, 32)
    (tmp_path / "preprocessor_config.json").unlink()
    with raises(ValueError, folder, "local folder", "preprocessor_config.json"):
        HuggingFaceImageEncoder(image_size=32, weights=folder)
    configured = HuggingFaceImageEncoder(
        image_size=32, weights=folder, mean=[0.1, 0.2, 0.3], std=[0.5, 0.6, 0.7]
    )
    same(configured.eval()(given).x, wanted, 1e-5)


def test_one_tower_of_a_model_for_two_modalities(tmp_path):
    model = library.CLIPModel(
        library.CLIPConfig(
            text_config={**CONFIG, "vocab_size": 30},
            vision_config={**CONFIG, "image_size": 32, "patch_size": 16},
        )
    )
    folder = saved(model, tmp_path, library.CLIPImageProcessor())
    given = ModalityInput(pictures(t=1), torch.ones(4, 1, dtype=torch.bool))
    image = HuggingFaceImageEncoder(image_size=32, weights=folder).eval()
    pixels = image.pixels(given.data[:, 0])
    same(image(given).x, model.vision_model(pixel_values=pixels).last_hidden_state, 1e-6)
    text = HuggingFaceTextEncoder(weights=folder).eval()
    tokens = text(ModalityInput(IDS, MASK))
    ids = IDS.masked_fill(~MASK, text.pad_id)
    wanted = model.text_model(input_ids=ids, attention_mask=MASK.long()).last_hidden_state
    same(tokens.x[MASK], wanted[MASK], 1e-5)
    kept = text.rebuild_kwargs()
    again = HuggingFaceTextEncoder(**kept).eval()
    again.load_state_dict(text.state_dict())
    same(again(ModalityInput(IDS, MASK)).x, tokens.x)


def test_pretrained_videos(tmp_path):
    model = library.VideoMAEModel(
        library.VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, **CONFIG)
    )
    folder = saved(model, tmp_path, library.VivitImageProcessor(do_resize=False))
    encoder = HuggingFaceVideoEncoder(image_size=32, num_frames=8, weights=folder).eval()
    data = pictures(t=4)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1]]).bool()
    tokens = encoder(ModalityInput(data, mask))
    # bytes to -1 … 1 (offset), then mean 0.5 and standard deviation 0.5
    pixels = (data.float() / 127.5 - 1 - 0.5) / 0.5
    same(tokens.x[[0, 3]], model(pixels[[0, 3]]).last_hidden_state, 1e-5)
    same(tokens.x[1], model(pixels[1:2, [0, 0, 1, 1]]).last_hidden_state[0], 1e-5)
    assert tokens.mask.tolist() == [[x] * 8 for x in (True, True, False, True)]
    with raises(ValueError, "image_size=64: ", " 4 ", "frames"):
        HuggingFaceVideoEncoder(image_size=64, weights=folder)
