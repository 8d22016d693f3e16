import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mmtx_cli.layer.stem import ConvStem, PatchStem, check_stem


def test_patches_are_normalized_and_keep_their_mean_color():
    torch.manual_seed(0)
    stem = PatchStem(3 * 4 * 4, 8)
    patch = torch.randn(3, 4, 4)
    flat = patch.flatten()
    normalized = (flat - flat.mean()) / (flat.var(unbiased=False) + 1e-5).sqrt()
    inputs = torch.cat([normalized, patch.mean(dim=(1, 2))])
    projected = stem.project.weight @ inputs + stem.project.bias
    expected = F.layer_norm(projected, (8,))
    torch.testing.assert_close(stem(flat[None])[0], expected)


def test_uniform_patches_of_two_grays_differ():
    stem = PatchStem(3 * 4 * 4, 8)
    dark, light = stem(torch.full((1, 48), -1.0)), stem(torch.full((1, 48), 1.0))
    assert (dark - light).norm() > 0.1 * light.norm()


def test_one_vector_for_each_patch_that_depends_on_its_own_image_alone():
    torch.manual_seed(0)
    stem, images = ConvStem(32, 8).double(), torch.randn(3, 3, 32, 24, dtype=torch.float64)
    together = stem(images)
    assert together.shape == (3, 4, 3, 32)
    for i in range(3):
        torch.testing.assert_close(together[i], stem(images[i : i + 1])[0])


def test_what_convolutions_see_is_independent_of_contrast():
    torch.manual_seed(0)
    stem, images = ConvStem(32, 8).double(), torch.randn(2, 3, 32, 32, dtype=torch.float64)
    nn.init.zeros_(stem.color.weight)
    torch.testing.assert_close(stem(3 * images), stem(images), atol=1e-4, rtol=1e-4)
    nn.init.ones_(stem.color.weight)
    assert (stem(3 * images) - stem(images)).abs().max() > 1


@pytest.mark.parametrize("patch_size", [2, 4, 16])
def test_one_patch_is_enough(patch_size):
    assert ConvStem(32, patch_size)(torch.randn(1, 3, patch_size, patch_size)).isfinite().all()


@pytest.mark.parametrize("patch_size", [1, 12])
def test_patches_that_halving_does_not_reach_are_refused(patch_size):
    with pytest.raises(ValueError, match=f"patch_size={patch_size}.*stem=patch"):
        ConvStem(32, patch_size)


@pytest.mark.parametrize(
    ("stem", "image_size", "named"), [("convs", 32, "conv or patch"), ("conv", 30, "image_size=30")]
)
def test_what_vision_transformers_share_is_checked(stem, image_size, named):
    with pytest.raises(ValueError, match=named):
        check_stem(stem, image_size, 8)
