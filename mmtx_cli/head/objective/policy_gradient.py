"""The policy gradient of texts with a reward.

Shape letters: b inputs, k texts per input, t tokens.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def leave_one_out(reward: Float[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """Return the mean reward of the other texts of each input (Luo 2020, arXiv:2003.09971).

    A text's baseline does not depend on the text itself, so it changes the variance of the gradient
    and not its mean.
    """
    k = reward.shape[1]
    return (reward.sum(dim=1, keepdim=True) - reward) / (k - 1)


def policy_loss(
    log_prob: Float[Tensor, "b k"], reward: Float[Tensor, "b k"], baseline: Float[Tensor, "b k"]
) -> Float[Tensor, " b"]:
    """Return minus the mean reward of the texts of each input, with the policy gradient.

    The gradient is that of REINFORCE (Williams 1992): minus the mean over the texts of (reward -
    baseline) times the gradient of the text's log-probability.

    Args:
        log_prob: Log-probability of each text.
        reward: Its reward.
        baseline: What the reward is compared with.
    """
    surrogate = ((reward - baseline) * log_prob).mean(dim=1)
    # 0 with the gradient of the surrogate, whose own value means nothing
    return -(reward.mean(dim=1) + surrogate - surrogate.detach())


def end_place(tokens: Int[Tensor, "*b t"], eos: int) -> Int[Tensor, "*b"]:
    """Return the place of the end token of texts, t - 1 if they were cut off.

    The last token of generated texts is always the end token (``generation.texts.Limits``); it was
    chosen only where another one stands before it.
    """
    return (tokens == eos).long().argmax(dim=-1)


def chosen_mask(tokens: Int[Tensor, "*b t"], eos: int) -> Bool[Tensor, "*b t"]:
    """Return which tokens of generated texts were chosen: all up to the first end token."""
    place = torch.arange(tokens.shape[-1], device=tokens.device)
    longest = tokens.shape[-1] - 1
    return (place <= end_place(tokens, eos)[..., None]) & (place < longest)
