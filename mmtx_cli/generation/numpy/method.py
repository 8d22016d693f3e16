"""How the next token of every text is chosen: base class of the search methods.

Shape letters: b inputs, k rows per input, v vocabulary, m texts, t tokens.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt64

from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.numpy.arrays import gather_rows
from mmtx_cli.generation.numpy.rules import Rule
from mmtx_cli.generation.numpy.texts import Open, Texts


class Method(ABC):
    """A search for texts of ``rows`` rows per input, as ``generation/method.py``."""

    rows: int

    def __init__(
        self,
        limits: Limits,
        length_penalty: float = 1.0,
        num_texts: int = 1,
        rules: Sequence[Rule] = (),
    ) -> None:
        """A text's score is its log-probability divided by length ** ``length_penalty``.

        Args:
            limits: Of the texts.
            length_penalty: Exponent of the length, which includes EOS but not BOS.
            num_texts: Number of returned texts.
            rules: Change the scores of the next tokens.
        """
        self.limits = limits
        self.length_penalty = length_penalty
        self.num_texts = num_texts
        self.rules = rules

    @property
    def steps(self) -> int:
        """Number of steps of the longest text."""
        return self.limits.max_length - 1

    @abstractmethod
    def begin(self, keys: UInt64[np.ndarray, " b"]) -> Open:
        """Return the state of new inputs with these random keys."""

    @abstractmethod
    def advance(
        self, now: Open, logits: Float[np.ndarray, "b k v"]
    ) -> Int[np.ndarray, "b k"] | None:
        """Extend the texts by a token, in place; return which row each continues.

        None means that each row continues itself.

        Args:
            now: The state.
            logits: Of the next token of each row.
        """

    def ruled(self, scores: Float[np.ndarray, "b k v"], now: Open) -> Float[np.ndarray, "b k v"]:
        """Return the scores of the next tokens, changed by the rules."""
        for rule in self.rules:
            scores = rule(scores, now.tokens, now.length)
        return scores

    def divisor(self, length: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b 1"]:
        """Return the divisor of the scores of texts of this length."""
        return np.power(length[:, None].astype(np.float32), np.float32(self.length_penalty))

    def norm(self, now: Open) -> Float[np.ndarray, "b 1"]:
        """Return the divisor of the scores of texts that end with their present tokens."""
        return self.divisor(np.maximum(now.length, 1))

    def results(self, now: Open) -> Texts:
        """Return the best texts: finished ones first, then open ones."""
        parts = [
            ranked(now.finished, now.finished_tokens, now.finished_log_probs),
            ranked(now.scores / self.norm(now), now.tokens, now.log_probs),
        ]
        scores, tokens, log_probs = (
            np.concatenate(pair, axis=1) for pair in zip(*parts, strict=True)
        )
        chosen = np.argsort(scores == -np.inf, axis=1, kind="stable")[:, : self.num_texts]
        return Texts(*(gather_rows(x, chosen) for x in (tokens, scores, log_probs)))


def ranked(
    scores: Float[np.ndarray, "b k"], *others: Shaped[np.ndarray, "b k t"]
) -> tuple[np.ndarray, ...]:
    """Return texts in the order of their scores, the best first."""
    order = np.argsort(-scores, axis=1, kind="stable")
    return tuple(gather_rows(x, order) for x in (scores, *others))
