"""What a published model sees of an input."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.layer.context import Context
from mmtx_cli.media.transform import fit
from mmtx_cli.types import ModalityInput
from mmtx_cli.vlm.visual import visuals, without_bars


def context(pictures, tokens, mask):
    raw = {"image": ModalityInput(pictures, mask)}
    return Context(tokens, mask, None, None, (mask.shape[1],), raw)


@given(height=st.integers(1, 40), width=st.integers(1, 40), size=st.integers(8, 48))
def test_padding_is_removed_again(height, width, size):
    picture = torch.full((3, height, width), 200, dtype=torch.uint8)
    found = without_bars(fit(picture, size, "pad"))
    inner = [max(1, round(size * side / max(height, width))) for side in (height, width)]
    assert list(found.shape) == [3, *inner]
    assert (found == 200).all()


def test_what_is_black_on_one_side_stays():
    picture = torch.full((3, 8, 8), 9, dtype=torch.uint8)
    picture[:, :3] = 0
    assert without_bars(picture).shape == (3, 8, 8)
    assert without_bars(torch.zeros(3, 8, 8, dtype=torch.uint8)).shape == (3, 8, 8)
    film = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    film[1, :, 2:6] = 5
    assert without_bars(film).shape == (2, 3, 4, 8)


def test_missing_pictures_are_left_out_and_zeroed_ones_are_black():
    mask = torch.tensor([[1, 1], [1, 0], [0, 0]]).bool()
    pictures = torch.full((3, 2, 3, 4, 4), 7, dtype=torch.uint8)
    tokens = mask[..., None].float()
    tokens[0, 1] = 0  # zeroed, but still marked as present
    first, second, third = visuals(context(pictures, tokens, mask))
    assert [int(picture.max()) for picture in first.images] == [7, 0]
    assert [len(visual.images) for visual in (second, third)] == [1, 0]
    assert third.video is None
    assert first.kind == (2, 0)


def test_a_batch_without_the_modality_has_one_masked_token():
    pictures = torch.zeros(2, 4, 3, 4, 4, dtype=torch.uint8)
    empty = torch.zeros(2, 1, dtype=torch.bool)
    raw = {"video": ModalityInput(pictures, torch.zeros(2, 4, dtype=torch.bool))}
    found = visuals(Context(torch.zeros(2, 1, 1), empty, None, None, (1,), raw))
    assert [visual.kind for visual in found] == [(0, 0), (0, 0)]
