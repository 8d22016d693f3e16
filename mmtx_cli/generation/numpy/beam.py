"""Beam search and diverse beam search.

Shape letters: b inputs, k beams per input, n candidates, v vocabulary.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped, UInt64

from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.numpy.arrays import gather_rows, largest, log_softmax
from mmtx_cli.generation.numpy.method import Method
from mmtx_cli.generation.numpy.rules import Rule
from mmtx_cli.generation.numpy.texts import Open


class BeamSearch(Method):
    """Keeps the most probable texts, as ``generation/beam.py``, which has the references."""

    def __init__(
        self,
        limits: Limits,
        num_beams: int,
        length_penalty: float = 1.0,
        early_stopping: bool = False,
        groups: int = 1,
        diversity_penalty: float = 0.0,
        num_texts: int = 1,
        rules: Sequence[Rule] = (),
    ) -> None:
        """Set the search.

        Args:
            limits: Of the texts.
            num_beams: Beams per input.
            length_penalty: Exponent of the length.
            early_stopping: Stop when as many texts as beams have ended.
            groups: Groups of beams that search one after the other.
            diversity_penalty: What a token costs for each beam before that has chosen it.
            num_texts: Number of returned texts.
            rules: Change the scores of the next tokens.
        """
        super().__init__(limits, length_penalty, num_texts, rules)
        self.rows, self.groups = num_beams, groups
        self.early_stopping, self.diversity_penalty = early_stopping, diversity_penalty

    def begin(self, keys: UInt64[np.ndarray, " b"]) -> Open:
        """Return the state of new inputs: all beams of a group are equal, so one is expanded."""
        return Open.begin(len(keys), self.rows, self.limits, self.groups)

    def advance(self, now: Open, logits: Float[np.ndarray, "b k v"]) -> Int[np.ndarray, "b k"]:
        """Extend every group by the best tokens."""
        own = log_softmax(logits)
        ruled = self.ruled(own, now)
        size = self.rows // self.groups
        norm = self.divisor(now.length + 1)
        origins, was_done = [], now.done
        for group in range(self.groups):
            rows = slice(group * size, (group + 1) * size)
            scores = ruled[:, rows]
            if group and self.diversity_penalty:
                scores = scores - np.float32(self.diversity_penalty) * counts(
                    now.last[:, : rows.start], scores.shape[2]
                )
            origins.append(rows.start + self.extend(now, rows, own[:, rows], scores, norm))
            now.group_done[:, group] |= self.is_done(now, rows, norm)
        now.length += ~was_done
        return np.concatenate(origins, axis=1)

    def extend(
        self,
        now: Open,
        rows: slice,
        own: Float[np.ndarray, "b k v"],
        scores: Float[np.ndarray, "b k v"],
        norm: Float[np.ndarray, "b 1"],
    ) -> Int[np.ndarray, "b k"]:
        """Extend the beams of a group; return which of its beams each continues.

        Args:
            now: The state.
            rows: The beams.
            own: Log-probabilities of the next token by the model.
            scores: The same as they are searched.
            norm: Divisor of the scores of texts that end here.
        """
        b, k, v = scores.shape
        total = (now.scores[:, rows, None] + scores).reshape(b, k * v)
        # twice as many as beams, so that enough of them do not end
        best, index = largest(total, min(2 * k, k * v))
        origin, token = index // v, index % v
        log_prob = np.take_along_axis(own.reshape(b, k * v), index, axis=1)
        tokens = append(now.tokens[:, rows], origin, token, now.length)
        log_probs = append(now.log_probs[:, rows], origin, log_prob, now.length)
        ended = token == self.limits.eos
        group = rows.start // k
        accepted = ended & (np.arange(best.shape[1]) < k) & ~now.group_done[:, group, None]
        now.finish(rows, np.where(accepted, best / norm, -np.inf), tokens, log_probs)
        now.scores[:, rows], chosen = largest(np.where(ended, -np.inf, best), k)
        now.tokens[:, rows] = gather_rows(tokens, chosen)
        now.log_probs[:, rows] = gather_rows(log_probs, chosen)
        now.last[:, rows] = np.take_along_axis(token, chosen, axis=1)
        return np.take_along_axis(origin, chosen, axis=1)

    def is_done(
        self, now: Open, rows: slice, norm: Float[np.ndarray, "b 1"]
    ) -> Bool[np.ndarray, " b"]:
        """Return for which inputs a group is finished."""
        worst = now.finished[:, rows.stop - 1]
        if self.early_stopping:
            return worst > -np.inf
        return worst >= now.scores[:, rows.start] / norm[:, 0]


def append(
    x: Shaped[np.ndarray, "b k t"],
    origin: Int[np.ndarray, "b n"],
    values: Shaped[np.ndarray, "b n"],
    length: Int[np.ndarray, " b"],
) -> Shaped[np.ndarray, "b n t"]:
    """Return the rows ``origin`` of ``x`` with ``values`` at ``length``.

    Args:
        x: Of all rows.
        origin: The row that each of n rows continues.
        values: What follows in each.
        length: Where, in each input.
    """
    rows = gather_rows(x, origin)
    np.put_along_axis(
        rows, np.broadcast_to(length[:, None, None], (*origin.shape, 1)), values[..., None], axis=2
    )
    return rows


def counts(tokens: Int[np.ndarray, "b n"], size: int) -> Float[np.ndarray, "b 1 {size}"]:
    """Return how often each of ``size`` tokens occurs among those of an input."""
    found = np.zeros((len(tokens), size), dtype=np.float32)
    np.add.at(found, (np.arange(len(tokens))[:, None], tokens), 1)
    return found[:, None]
