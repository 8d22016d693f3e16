from itertools import permutations

import pytest
import torch
from torch import nn

from mmtx_cli.layer.input.stem import ConvStem, PatchStem, check_stem, check_tiled, recolored
from tests.messages import raises


@pytest.mark.parametrize("patch_size", [2, 7, 8, 12, 14])
def test_patches_of_any_size_are_read_each_by_itself(patch_size):
    torch.manual_seed(0)
    stem = PatchStem(32, patch_size, channels=2).double()
    patches = torch.randn(2, 5, 2, patch_size, patch_size, dtype=torch.float64)
    together = stem(patches)
    assert together.shape == (2, 5, 32)
    torch.testing.assert_close(together[1, 3], stem(patches[1:, 3:4])[0, 0])
    changed = patches.clone()
    changed[0, 0, 1, -1, -1] += 1  # every pixel matters
    assert (stem(changed) != together).any(dim=2).nonzero().tolist() == [[0, 0]]


def test_uniform_patches_of_two_grays_differ():
    stem = PatchStem(8, 4)
    dark, light = stem(torch.full((1, 3, 4, 4), -1.0)), stem(torch.full((1, 3, 4, 4), 1.0))
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


def test_recolored_images_are_all_orders_of_the_channels_and_both_contrasts():
    torch.manual_seed(0)
    image = torch.randn(3, 4, 5)
    made = recolored(image.expand(300, -1, -1, -1))
    wanted = [sign * image[list(order)] for sign in (1, -1) for order in permutations(range(3))]
    found = [next(i for i, w in enumerate(wanted) if torch.equal(w, x)) for x in made]
    assert set(found) == set(range(12))


def test_recoloring_is_of_the_convolutions_in_training_alone():
    torch.manual_seed(0)
    images = torch.randn(4, 3, 16, 16, dtype=torch.float64)
    plain, stem = ConvStem(32, 8).double(), ConvStem(32, 8, recolor=True).double()
    plain.load_state_dict(stem.state_dict())
    assert not torch.equal(stem(images), plain(images))
    torch.testing.assert_close(stem.eval()(images), plain.eval()(images))
    nn.init.zeros_(stem.stages[-1].weight)  # what is left is the projection of the colors
    torch.testing.assert_close(stem.train()(images), stem.eval()(images))


@pytest.mark.parametrize("patch_size", [2, 4, 16])
def test_one_patch_is_enough(patch_size):
    assert ConvStem(32, patch_size)(torch.randn(1, 3, patch_size, patch_size)).isfinite().all()


@pytest.mark.parametrize("patch_size", [1, 12])
def test_patches_that_halving_does_not_reach_are_refused(patch_size):
    with raises(ValueError, f"patch_size={patch_size} ", "power of two", " stem=patch"):
        ConvStem(32, patch_size)


def test_what_vision_transformers_share_is_checked():
    with raises(ValueError, "stem='convs'", "conv or patch"):
        check_stem("convs")
    with raises(ValueError, "image_size=30 ", "patch_size=8"):
        check_tiled(30, 8)
