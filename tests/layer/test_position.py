import pytest
import torch

from mmtx_cli.layer.position import GridPosition, SequencePosition
from tests.messages import raises


def test_its_own_size_is_what_was_learned():
    position = GridPosition(6, 4)
    wanted = [position.grid[:, y, x] for y in range(4) for x in range(4)]
    assert torch.equal(position(4, 4), torch.stack(wanted))


@pytest.mark.parametrize("size", [(8, 8), (2, 3), (5, 4)])
def test_another_size_stretches(size):
    position = GridPosition(2, 4)
    with torch.no_grad():
        position.grid[0] = torch.arange(4.0)[:, None]  # grows downwards
        position.grid[1] = 7.0
    height, width = size
    rows, constant = position(height, width).view(height, width, 2).unbind(-1)
    torch.testing.assert_close(constant, torch.full(size, 7.0))
    torch.testing.assert_close(rows, rows[:, :1].expand(size))
    assert (rows[:, 0].diff() > 0).all()


def test_gradient_flows_through_the_stretching():
    position = GridPosition(2, 4)
    position(3, 5).square().sum().backward()
    assert position.grid.grad.abs().min() > 0


def lengths(*counts, n):
    return torch.arange(n) < torch.tensor(counts)[:, None]


def test_a_sequence_has_its_own_places():
    position = SequencePosition(3, 5)
    assert torch.equal(position(lengths(2, 4, n=4)), position.places[:4].expand(2, 4, 3))


def test_only_what_is_longer_stretches():
    position = SequencePosition(1, 5)
    with torch.no_grad():
        position.places[:, 0] = torch.arange(5.0)
    short, long, absent = position(lengths(5, 9, 0, n=9))[..., 0]
    torch.testing.assert_close(short[:5], torch.arange(5.0))
    torch.testing.assert_close(long, torch.arange(9.0) / 2)
    assert absent.isfinite().all()


def test_padding_moves_no_place():
    position = SequencePosition(4, 5)
    alone, padded = position(lengths(7, n=7)), position(lengths(7, n=20))
    assert torch.equal(padded[:, :7], alone)


def test_a_single_place():
    position = SequencePosition(4, 1)
    assert torch.equal(position(lengths(3, n=3)), position.places.expand(1, 3, 4))
    with raises(ValueError, "sequence", " 0 "):
        SequencePosition(4, 0)


def test_nearby_positions_are_initialized_similarly():
    places = SequencePosition(16, 40).places.detach()
    apart = [(places[:-k] - places[k:]).norm(dim=1).mean() for k in (1, 4, 16)]
    assert apart == sorted(apart)
    assert apart[0] > 0.1
    assert SequencePosition(5, 3).places.shape == (3, 5)
