import pytest
import torch
from torch.nn import functional as F

from mmtx_cli.fusion.film import FilmFusion
from mmtx_cli.types import FUSED
from tests.fusion.streams import DIM, mean, moved, streams
from tests.messages import raises


def make_fusion(names=("text", "image"), **settings):
    return FilmFusion(DIM, names, **{"depth": 1, **settings}).double()


def by_hand(fusion, x, scale, shift):
    block = fusion.blocks["image"][0]
    y = scale * block.first(block.norm(x)) + shift
    return fusion.norm_out(x + block.second(F.gelu(y)))


def test_scale_and_shift_are_linear_in_the_condition():
    fusion, given = make_fusion(), streams()
    condition = fusion.norm["text"](mean(given["text"], 0))
    scale, shift = fusion.blocks["image"][0].modulation(condition).chunk(2)
    found = fusion(given)[FUSED]
    torch.testing.assert_close(found.x[0], by_hand(fusion, given["image"].x[0], 1 + scale, shift))


def test_without_a_condition_nothing_is_modulated():
    fusion, given = make_fusion(), streams()
    torch.testing.assert_close(
        fusion(given)[FUSED].x[2], by_hand(fusion, given["image"].x[2], 1, 0)
    )


def test_the_condition_alone_is_kept():
    fusion, given = make_fusion(), streams()
    change = (fusion(moved(given, "text"))[FUSED].x - fusion(given)[FUSED].x).abs().amax((1, 2))
    assert (change > 1e-7).tolist() == [True, True, False, False]


@pytest.mark.parametrize(
    ("names", "chosen", "target"),
    [
        (("text", "image", "audio"), None, ("audio", "image")),
        (("video", "audio"), None, ("video",)),
        (("text", "image", "audio"), ["audio", "text"], ("image",)),
        (("image",), None, ("image",)),
    ],
)
def test_the_condition_and_what_it_modulates(names, chosen, target):
    assert make_fusion(names, condition=chosen).target == target


def test_several_conditions_count_by_their_mean():
    fusion = make_fusion(("text", "image", "audio"), condition=["audio", "text"])
    given = streams(text=(3, 2), image=(2, 2), audio=(1, 0))
    each = [fusion.norm[m](mean(given[m], 0)) for m in ("audio", "text")]
    vector, there = fusion.conditions(given)
    torch.testing.assert_close(vector[0], torch.stack(each).mean(dim=0))
    torch.testing.assert_close(vector[1], fusion.norm["text"](mean(given["text"], 1)))
    assert there.tolist() == [True, True]


def test_invalid_conditions():
    with raises(ValueError, "condition: ", "one modality"):
        make_fusion(condition=["text", "image"])
    with raises(ValueError, "condition: ", "modality 'audio'"):
        make_fusion(condition=["audio"])
