import pytest
import torch

from mmtx_cli.layer.sequence_mask import downsample_mask, sequence_lengths


def test_how_far_a_mask_reaches():
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0], [0, 1, 0, 1]]).bool()
    assert sequence_lengths(mask).tolist() == [2, 0, 4]


@pytest.mark.parametrize(
    ("stride", "wanted"), [(1, [1, 0, 0, 1, 0]), (2, [1, 1, 0]), (3, [1, 1]), (9, [1])]
)
def test_a_coarse_element_is_real_if_any_of_its_is(stride, wanted):
    mask = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 0, 0, 0]]).bool()
    assert downsample_mask(mask, stride).int().tolist() == [wanted, [0] * len(wanted)]
