import pytest
import torch

from mmtx_cli.layer.position import GridPosition


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
