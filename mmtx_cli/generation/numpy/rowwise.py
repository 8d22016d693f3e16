"""Methods in which every row continues itself: greedy and sampling.

Shape letters: b inputs, k rows per input, v vocabulary.
"""

from abc import abstractmethod
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int, UInt64

from mmtx_cli.counter_rng.bits import uniform_numbers
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.numpy.arrays import largest, log_softmax, softmax
from mmtx_cli.generation.numpy.method import Method
from mmtx_cli.generation.numpy.rules import Rule
from mmtx_cli.generation.numpy.texts import Open


class RowWise(Method):
    """Chooses one next token for each text."""

    @abstractmethod
    def choose(self, scores: Float[np.ndarray, "b k v"], now: Open) -> Int[np.ndarray, "b k"]:
        """Return the next token of each row.

        Args:
            scores: Of the tokens; -inf forbids one.
            now: The state.
        """

    def begin(self, keys: UInt64[np.ndarray, " b"]) -> Open:
        """Return the state of new inputs, in which every row is a group of its own."""
        return Open.begin(len(keys), self.rows, self.limits, groups=self.rows)

    def advance(self, now: Open, logits: Float[np.ndarray, "b k v"]) -> None:
        """Append a token to every open text."""
        scores = self.ruled(logits, now)
        token = self.choose(scores, now)
        place = np.broadcast_to(now.length[:, None, None], (*token.shape, 1))
        chosen = token[..., None]
        log_prob = np.take_along_axis(log_softmax(logits), chosen, axis=2)
        # where all tokens are forbidden, the text has no score
        forbidden = np.take_along_axis(scores, chosen, axis=2) == -np.inf
        log_prob = np.where(forbidden, -np.inf, log_prob).astype(np.float32)
        np.put_along_axis(now.tokens, place, chosen, axis=2)
        np.put_along_axis(now.log_probs, place, log_prob, axis=2)
        now.scores = np.where(now.group_done, now.scores, now.scores + log_prob[..., 0])
        now.length += ~now.done
        now.last = token
        ended = ~now.group_done & ((token == self.limits.eos) | (now.scores == -np.inf))
        now.finished = np.where(ended, now.scores / self.norm(now), now.finished)
        now.finished_tokens[ended] = now.tokens[ended]
        now.finished_log_probs[ended] = now.log_probs[ended]
        now.scores[ended] = -np.inf
        now.group_done |= ended


class Greedy(RowWise):
    """Chooses the most probable token."""

    rows = 1

    def choose(self, scores: Float[np.ndarray, "b 1 v"], now: Open) -> Int[np.ndarray, "b 1"]:
        """Return the token with the best score."""
        return scores.argmax(axis=2)


class Sampling(RowWise):
    """Draws each token from its distribution, with the numbers of ``generation/rowwise.py``."""

    def __init__(
        self,
        limits: Limits,
        length_penalty: float = 1.0,
        num_texts: int = 1,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        rules: Sequence[Rule] = (),
    ) -> None:
        """Set the distribution.

        Args:
            limits: Of the texts.
            length_penalty: Exponent of the length.
            num_texts: Number of texts that are drawn.
            temperature: Divisor of the logits.
            top_k: Number of most probable tokens to draw from.
            top_p: Probability of the most probable tokens to draw from.
            min_p: Smallest probability, as a fraction of the largest one.
            rules: Change the scores of the next tokens.
        """
        super().__init__(limits, length_penalty, num_texts, rules)
        self.rows = num_texts
        self.temperature, self.top_k, self.top_p, self.min_p = temperature, top_k, top_p, min_p

    def begin(self, keys: UInt64[np.ndarray, " b"]) -> Open:
        """Draw the random numbers of new inputs."""
        drawn = [uniform_numbers(keys, self.steps, f"text {i}") for i in range(self.rows)]
        now = super().begin(keys)
        now.random = np.stack(drawn, axis=1)
        return now

    def choose(self, scores: Float[np.ndarray, "b k v"], now: Open) -> Int[np.ndarray, "b k"]:
        """Draw a token of each row by inversion of the cumulative distribution."""
        restricted = self.restricted(scores / np.float32(self.temperature))
        cumulative = softmax(restricted.astype(np.float64)).cumsum(axis=2)
        place = np.minimum(now.length, self.steps - 1)
        random = now.random[np.arange(len(place)), :, place]
        below = cumulative <= random[..., None] * cumulative[..., -1:]
        return np.minimum(below.sum(axis=2), scores.shape[2] - 1)

    def restricted(self, scores: Float[np.ndarray, "b k v"]) -> Float[np.ndarray, "b k v"]:
        """Return the scores with -inf for tokens that are not drawn."""
        b, k, v = scores.shape
        if self.top_k is not None:
            worst = largest(scores.reshape(b * k, v), min(self.top_k, v))[0][:, -1]
            scores = np.where(scores < worst.reshape(b, k, 1), -np.inf, scores)
        if self.top_p is not None:
            order = np.argsort(-scores, axis=2, kind="stable")
            p = softmax(np.take_along_axis(scores, order, axis=2))
            beyond = p.cumsum(axis=2) - p >= np.float32(self.top_p)
            beyond[..., 0] = False
            excluded = np.zeros_like(beyond)
            np.put_along_axis(excluded, order, beyond, axis=2)
            scores = np.where(excluded, -np.inf, scores)
        if self.min_p is not None:
            p = softmax(scores)
            least = np.float32(self.min_p) * p.max(axis=2, keepdims=True)
            scores = np.where(p < least, -np.inf, scores)
        return scores.astype(np.float32)
