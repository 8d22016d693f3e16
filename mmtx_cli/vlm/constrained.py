"""Constraints of texts in the generation of the transformers library.

Shape letters: r texts, t tokens, v vocabulary.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.generation.constraint.tracker import Tracker, restricted, urged


class ConstraintProcessor:
    """A logits processor: only tokens that the constraint allows may follow."""

    def __init__(self, tracker: Tracker, start: int, forced: int) -> None:
        """``start`` is the number of tokens of the input, ``forced`` that of the begin tokens that
        the model generates.
        """
        self.tracker, self.start, self.forced = tracker, start, forced

    def __call__(
        self, input_ids: Int[Tensor, "r t"], scores: Float[Tensor, "r v"]
    ) -> Float[Tensor, "r v"]:
        """Return the scores with -inf for tokens that are not allowed.

        Args:
            input_ids: Tokens of the input and of the text so far.
            scores: Of the next token.
        """
        tokens = input_ids[:, self.start + self.forced :]
        if input_ids.shape[1] < self.start + self.forced:
            return scores
        length = torch.full((len(tokens),), tokens.shape[1], device=tokens.device)
        allowed = self.tracker.allowed(tokens[:, None], length, scores.shape[1])
        own = scores[:, None]
        left = restricted(own, own, allowed)
        if self.tracker.seeks:
            left = urged(left, own, allowed, self.tracker.eos)
        return left[:, 0]
