"""The texts of the inputs in a batch, while they are generated and when they are finished.

Shape letters: b inputs, k rows (beams or samples) per input, g groups of rows, m texts, t tokens.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.numpy.arrays import gather_rows, largest


@dataclass
class Texts:
    """Generated texts, the best one first, padded with the end token."""

    tokens: Int[np.ndarray, "b m t"]
    scores: Float[np.ndarray, "b m"]
    """-inf if there are fewer texts."""
    log_probs: Float[np.ndarray, "b m t"]
    """Log-probability of each token by the model; 0 behind the end token."""


@dataclass
class Open:
    """Texts that are being generated, and for each row a place for a finished one."""

    scores: Float[np.ndarray, "b k"]
    """-inf for rows without an open text."""
    tokens: Int[np.ndarray, "b k t"]
    log_probs: Float[np.ndarray, "b k t"]
    last: Int[np.ndarray, "b k"]
    """Tokens that the decoder reads next."""
    length: Int[np.ndarray, " b"]
    """Number of generated tokens."""
    finished: Float[np.ndarray, "b k"]
    finished_tokens: Int[np.ndarray, "b k t"]
    finished_log_probs: Float[np.ndarray, "b k t"]
    group_done: Bool[np.ndarray, "b g"]
    random: Float[np.ndarray, "b k s"]
    """Uniform random numbers of each row; s is 0 for methods that draw nothing."""

    @classmethod
    def begin(cls, batch: int, rows: int, limits: Limits, groups: int = 1) -> "Open":
        """Return the state before the first token, with one open text per group.

        Args:
            batch: Number of inputs.
            rows: Rows per input.
            limits: Of the texts.
            groups: Groups of rows, of which each searches on its own.
        """
        scores = np.full((batch, rows), -np.inf, dtype=np.float32)
        tokens = np.full((batch, rows, limits.max_length), limits.eos)
        log_probs = np.zeros(tokens.shape, dtype=np.float32)
        finished = scores.copy()
        scores[:, :: rows // groups] = 0.0
        return cls(
            scores=scores,
            tokens=tokens,
            log_probs=log_probs,
            last=np.full((batch, rows), limits.bos),
            length=np.zeros(batch, dtype=np.int64),
            finished=finished,
            finished_tokens=tokens.copy(),
            finished_log_probs=log_probs.copy(),
            group_done=np.zeros((batch, groups), dtype=bool),
            random=np.zeros((batch, rows, 0), dtype=np.float32),
        )

    @property
    def done(self) -> Bool[np.ndarray, " b"]:
        """Return which inputs are finished."""
        return np.all(self.group_done, axis=1)

    def only(self, inputs: Int[np.ndarray, " m"]) -> "Open":
        """Return the entries of some inputs."""
        return replace(self, **{x.name: getattr(self, x.name)[inputs] for x in fields(self)})

    def finish(
        self,
        rows: slice,
        scores: Float[np.ndarray, "b n"],
        tokens: Int[np.ndarray, "b n t"],
        log_probs: Float[np.ndarray, "b n t"],
    ) -> None:
        """Keep the best of the finished and the given texts, as many as there are rows.

        Args:
            rows: The rows of a group.
            scores: Of the texts; -inf for those that are not finished.
            tokens: Of the texts.
            log_probs: Of the texts.
        """
        together = np.concatenate([self.finished[:, rows], scores], axis=1)
        self.finished[:, rows], chosen = largest(together, rows.stop - rows.start)
        for name, new in (("finished_tokens", tokens), ("finished_log_probs", log_probs)):
            own = getattr(self, name)
            own[:, rows] = gather_rows(np.concatenate([own[:, rows], new], axis=1), chosen)
