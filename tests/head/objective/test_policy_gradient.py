import pytest
import torch

from mmtx_cli.head.objective.policy_gradient import (
    chosen_mask,
    end_place,
    leave_one_out,
    policy_loss,
)

EOS = 3


def test_leave_one_out_is_the_mean_of_the_others():
    reward = torch.rand(3, 5, dtype=torch.float64)
    for i in range(3):
        for j in range(5):
            others = [reward[i, m].item() for m in range(5) if m != j]
            found = leave_one_out(reward)[i, j].item()
            assert found == pytest.approx(sum(others) / 4, rel=1e-12)


def test_the_gradient_is_unbiased_with_either_baseline():
    """Of two tokens and all outcomes of two draws, weighted by their probability: the gradient of
    the expected reward, exactly.
    """
    values = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    logits = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    log_p = logits.log_softmax(dim=0)
    p = log_p.detach().exp()
    (wanted,) = torch.autograd.grad(-(log_p.exp() * values).sum(), logits, retain_graph=True)
    for kind in ("leave_one_out", "constant"):
        total = torch.zeros(())
        for i in range(3):
            for j in range(3):
                reward = values[[i, j]][None]
                constant = torch.full_like(reward, 0.7)
                baseline = leave_one_out(reward) if kind == "leave_one_out" else constant
                total = total + p[i] * p[j] * policy_loss(log_p[[i, j]][None], reward, baseline)[0]
        (found,) = torch.autograd.grad(total, logits, retain_graph=True)
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=1e-12)
        # and the value is the expected reward
        torch.testing.assert_close(total.detach(), -(p * values).sum(), rtol=1e-12, atol=1e-12)


def test_equal_rewards_teach_nothing():
    log_prob = torch.randn(2, 4, requires_grad=True)
    reward = torch.full((2, 4), 1.5)
    policy_loss(log_prob, reward, leave_one_out(reward)).sum().backward()
    assert not log_prob.grad.any()


def test_where_texts_end():
    """Texts that end, that end at once, and that were cut off; the last token is always EOS."""
    tokens = torch.tensor([[7, 8, EOS, EOS, EOS], [EOS] * 5, [7, 8, 9, 6, EOS]])
    assert end_place(tokens, EOS).tolist() == [2, 0, 4]
    assert chosen_mask(tokens, EOS).int().tolist() == [
        [1, 1, 1, 0, 0],
        [1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0],
    ]
