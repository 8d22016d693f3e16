import numpy as np
import pytest
import torch
from torchvision.transforms import v2

from mmtx_cli.media.transform import augmentation, augmented, fit, resize, to_tensor

SHAPES = [(100, 151), (151, 100), (64, 64), (65, 64), (67, 64), (33, 90), (90, 33), (500, 333)]


def picture(height, width, seed=0):
    """Smooth, with some noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / 7), np.cos(y / 5), np.sin((x + y) / 9)], axis=-1)
    pixels = 128 + 100 * waves + random.normal(0, 10, waves.shape)
    return to_tensor(pixels.clip(0, 255).astype(np.uint8))


def difference(a, b):
    assert a.shape == b.shape
    assert a.dtype == b.dtype == torch.uint8
    return (a.int() - b.int()).abs().max()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("size", [64, 31])
def test_crop_is_torchvisions(shape, size):
    wanted = v2.Compose([v2.Resize(size, antialias=True), v2.CenterCrop(size)])(picture(*shape))
    assert difference(fit(picture(*shape), size, "crop"), wanted) <= 1


@pytest.mark.parametrize("shape", SHAPES)
def test_squash_is_torchvisions(shape):
    wanted = v2.Resize((64, 64), antialias=True)(picture(*shape))
    assert difference(fit(picture(*shape), 64, "squash"), wanted) <= 1
    assert difference(resize(picture(*shape), 20, 70), v2.Resize((20, 70))(picture(*shape))) <= 1


@pytest.mark.parametrize("shape", [*SHAPES, (1, 300), (300, 2)])
@pytest.mark.parametrize("size", [64, 31])
def test_pad_keeps_all_of_it_in_its_proportions(shape, size):
    longer = max(shape)
    inner = [max(1, round(size * side / longer)) for side in shape]
    made = fit(picture(*shape), size, "pad")
    top, left = ((size - side) // 2 for side in inner)
    middle = made[:, top : top + inner[0], left : left + inner[1]]
    assert difference(middle, v2.Resize(inner, antialias=True)(picture(*shape))) <= 1
    assert made.shape == (3, size, size)
    assert made.int().sum() == middle.int().sum()  # black around it
    both = torch.stack([picture(*shape), picture(*shape, seed=1)])
    assert torch.equal(fit(both, size, "pad")[0], made)


def test_a_picture_of_the_right_size_stays():
    assert torch.equal(fit(picture(64, 64), 64, "crop"), picture(64, 64))


def test_channels_come_first():
    pixels = np.arange(2 * 4 * 3, dtype=np.uint8).reshape(2, 4, 3)
    assert to_tensor(pixels)[:, 1, 2].tolist() == pixels[1, 2].tolist()


def test_without_options_images_are_unchanged():
    assert augmentation(64) is None
    assert augmentation(64, [1.0, 1.0], False, 0.0) is None


@pytest.mark.parametrize(
    "options",
    [{"scale": [0.3, 0.8]}, {"flip": True}, {"color": 0.4}, {"scale": [0.5, 1.0], "color": 0.1}],
)
def test_augmentation_is_a_function_of_its_seed(options):
    augment = augmentation(32, **options)
    state = torch.get_rng_state()
    made = [augmented(picture(60, 80), augment, seed) for seed in (1, 2, 3, 4, 5, 6, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(made[0], made[-1])
    assert any(not torch.equal(made[0], other) for other in made[1:-1])
    assert all(x.dtype == torch.uint8 for x in made)
    if "scale" in options:
        assert made[0].shape == (3, 32, 32)


def test_torchs_random_numbers_survive_a_failure():
    def fail(x):
        torch.rand(3)
        raise RuntimeError

    state = torch.get_rng_state()
    with pytest.raises(RuntimeError):
        augmented(picture(8, 8), fail, 1)
    assert torch.equal(torch.get_rng_state(), state)
