"""How the next token of every text is chosen: base class of the search methods.

Shape letters: b inputs, k rows per input, v vocabulary, d width.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.generation.constraint.tracker import Allowed, Tracker, restricted, urged
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.rules import Rule, apply
from mmtx_cli.generation.texts import Open, Texts, gather_rows


class Method(ABC):
    """A search for texts of ``rows`` rows per input."""

    rows: int

    def __init__(
        self,
        limits: Limits,
        length_penalty: float = 1.0,
        num_texts: int = 1,
        rules: Sequence[Rule] = (),
        tracker: Tracker | None = None,
    ) -> None:
        """A text's score is its log-probability divided by length ** ``length_penalty``.

        The length includes EOS but not BOS. ``num_texts`` is the number of returned texts.
        ``rules`` change the scores of the next tokens; ``tracker`` follows a constraint.
        """
        self.limits = limits
        self.length_penalty = length_penalty
        self.num_texts = num_texts
        self.rules = rules
        self.tracker = tracker

    @property
    def steps(self) -> int:
        """Number of steps of the longest text."""
        return self.limits.max_length - 1

    def begin(self, keys: Int[Tensor, " b"]) -> Any:
        """Return the state of new inputs.

        Args:
            keys: Random keys of the inputs, on the device of the decoder.
        """
        return Open.begin(len(keys), self.rows, self.limits, keys.device)

    @abstractmethod
    def advance(
        self, now: Any, logits: Float[Tensor, "b k v"], hidden: Float[Tensor, "b k d"]
    ) -> Int[Tensor, "b k"] | None:
        """Extend the texts by a token, in place; return which row each continues.

        None means that each row continues itself.

        Args:
            now: The state.
            logits: Of the next token of each row.
            hidden: The states that the logits are computed from.
        """

    def ruled(
        self,
        own: Float[Tensor, "b k v"],
        tokens: Int[Tensor, "b k t"],
        length: Int[Tensor, " b"],
    ) -> tuple[Float[Tensor, "b k v"], Allowed | None]:
        """Return the scores of the next tokens, changed by the rules and the constraint, and what
        the constraint allows.

        Args:
            own: The scores of the model.
            tokens: Of the texts so far.
            length: Number of tokens.
        """
        scores = apply(self.rules, own, tokens, length)
        if self.tracker is None:
            return scores, None
        allowed = self.tracker.allowed(tokens, length, scores.shape[2])
        return restricted(scores, own, allowed), allowed

    def single_ruled(
        self,
        own: Float[Tensor, "b k v"],
        tokens: Int[Tensor, "b k t"],
        length: Int[Tensor, " b"],
    ) -> Float[Tensor, "b k v"]:
        """Return the scores of the next tokens for a search that follows each text alone.

        If a text that lacks a required word would end here, only tokens that bring it closer to
        one are left. Without that, it would go on arbitrarily up to the maximum length.

        Args:
            own: The scores of the model.
            tokens: Of the texts so far.
            length: Number of tokens.
        """
        scores, allowed = self.ruled(own, tokens, length)
        if allowed is None or self.tracker is None or not self.tracker.seeks:
            return scores
        return urged(scores, own, allowed, self.limits.eos)

    def norm(self, now: Open) -> Float[Tensor, "b 1"]:
        """Return the divisor of the scores of texts that end with their present tokens."""
        length = now.length.clamp(min=1)[:, None].to(torch.float32)
        return length**self.length_penalty

    def results(self, now: Open) -> Texts:
        """Return the best texts: finished ones first, then open ones."""
        parts = [
            ranked(now.finished, now.finished_tokens, now.finished_log_probs),
            ranked(now.scores / self.norm(now), now.tokens, now.log_probs),
        ]
        scores, tokens, log_probs = (torch.cat(pair, dim=1) for pair in zip(*parts, strict=True))
        missing = (scores == -torch.inf).to(torch.uint8)
        chosen = missing.argsort(dim=1, stable=True)[:, : self.num_texts]
        tokens, log_probs = gather_rows(tokens, chosen), gather_rows(log_probs, chosen)
        return Texts(tokens, scores.gather(1, chosen), log_probs)


def ranked(scores: Tensor, tokens: Tensor, log_probs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return texts in the order of their scores, the best first."""
    scores, order = scores.sort(dim=1, descending=True, stable=True)
    return scores, gather_rows(tokens, order), gather_rows(log_probs, order)


def append(
    x: Tensor, origin: Int[Tensor, "b n"], values: Tensor, length: Int[Tensor, " b"]
) -> Tensor:
    """Return the rows ``origin`` of ``x`` [b, k, t] with ``values`` [b, n] at ``length``."""
    place = length[:, None, None].expand(*origin.shape, 1)
    return gather_rows(x, origin).scatter_(2, place, values[..., None].to(x.dtype))
