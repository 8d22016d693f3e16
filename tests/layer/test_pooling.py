import torch

from mmtx_cli.layer.pooling import masked_mean


def test_mean_of_the_real_tokens():
    x = torch.randn(3, 4, 5)
    mask = torch.tensor([[1, 1, 1, 1], [0, 1, 0, 1], [0, 0, 0, 0]]).bool()
    x[1, 0] = torch.nan  # what is not real has no say, whatever it is
    found = masked_mean(x, mask)
    torch.testing.assert_close(found[0], x[0].mean(dim=0))
    torch.testing.assert_close(found[1], (x[1, 1] + x[1, 3]) / 2)
    assert not found[2].any()


def test_gradient_reaches_the_real_tokens_alone():
    x = torch.randn(2, 3, 4, requires_grad=True)
    masked_mean(x, torch.tensor([[1, 0, 1], [0, 0, 0]]).bool()).sum().backward()
    torch.testing.assert_close(x.grad[0, :, 0], torch.tensor([0.5, 0.0, 0.5]))
    assert not x.grad[1].any()
