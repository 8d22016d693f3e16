"""The texts of the inputs in a batch, while they are generated and when they are finished.

Shape letters: b inputs, k rows (beams or samples) per input, g groups of rows, m texts, t tokens.
"""

from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmtx_cli.generation.limits import Limits

Own = TypeVar("Own", bound="Rows")
OwnTexts = TypeVar("OwnTexts", bound="Open")


@dataclass
class Rows:
    """Tensors with one entry per input."""

    def only(self: Own, inputs: Int[Tensor, " m"]) -> Own:
        """Return the entries of some inputs."""
        return replace(self, **{x.name: getattr(self, x.name)[inputs] for x in fields(self)})

    def put(self: Own, inputs: Int[Tensor, " m"], other: Own) -> None:
        """Replace the entries of some inputs, in place, by all those of ``other``."""
        for x in fields(self):
            getattr(self, x.name)[inputs] = getattr(other, x.name)


@dataclass
class Texts:
    """Generated texts, the best one first, padded with the end token."""

    tokens: Int[Tensor, "b m t"]
    scores: Float[Tensor, "b m"]
    """-inf if there are fewer texts."""
    log_probs: Float[Tensor, "b m t"]
    """Log-probability of each token by the model; 0 behind the end token."""


@dataclass
class Open(Rows):
    """Texts that are being generated, and for each row a place for a finished one."""

    scores: Float[Tensor, "b k"]
    """-inf for rows without an open text."""
    tokens: Int[Tensor, "b k t"]
    log_probs: Float[Tensor, "b k t"]
    last: Int[Tensor, "b k"]
    """Tokens that the decoder reads next."""
    length: Int[Tensor, " b"]
    """Number of generated tokens."""
    finished: Float[Tensor, "b k"]
    finished_tokens: Int[Tensor, "b k t"]
    finished_log_probs: Float[Tensor, "b k t"]
    group_done: Bool[Tensor, "b g"]

    @classmethod
    def begin(
        cls: type[OwnTexts],
        batch: int,
        rows: int,
        limits: Limits,
        device: torch.device,
        groups: int = 1,
    ) -> OwnTexts:
        """Return the state before the first token, with one open text per group.

        Args:
            batch: Number of inputs.
            rows: Rows per input.
            limits: Of the texts.
            device: Device of the decoder.
            groups: Groups of rows, of which each searches on its own.
        """
        scores = torch.full((batch, rows), -torch.inf, device=device)
        tokens = torch.full((batch, rows, limits.max_length), limits.eos, device=device)
        log_probs = torch.zeros(batch, rows, limits.max_length, device=device)
        finished = scores.clone()
        scores[:, :: rows // groups] = 0.0
        return cls(
            scores=scores,
            tokens=tokens,
            log_probs=log_probs,
            last=torch.full((batch, rows), limits.bos, device=device),
            length=torch.zeros(batch, dtype=torch.long, device=device),
            finished=finished,
            finished_tokens=tokens.clone(),
            finished_log_probs=log_probs.clone(),
            group_done=torch.zeros(batch, groups, dtype=torch.bool, device=device),
        )

    @property
    def done(self) -> Bool[Tensor, " b"]:
        """Return which inputs are finished."""
        return self.group_done.all(dim=1)

    def finish(
        self,
        rows: slice,
        scores: Float[Tensor, "b n"],
        tokens: Int[Tensor, "b n t"],
        log_probs: Float[Tensor, "b n t"],
    ) -> None:
        """Keep the best of the finished and the given texts, as many as there are rows.

        Args:
            rows: The rows of a group.
            scores: Of the texts; -inf for those that are not finished.
            tokens: Of the texts.
            log_probs: Of the texts.
        """
        together = torch.cat([self.finished[:, rows], scores], dim=1)
        count = rows.stop - rows.start
        self.finished[:, rows], chosen = together.topk(count, dim=1)
        for name, new in (("finished_tokens", tokens), ("finished_log_probs", log_probs)):
            own = getattr(self, name)
            own[:, rows] = gather_rows(torch.cat([own[:, rows], new], dim=1), chosen)


def gather_rows(x: Tensor, index: Int[Tensor, "b m"]) -> Tensor:
    """Return ``x[i, index[i, j]]`` for ``x`` of shape [b, k, …]."""
    return x[torch.arange(len(x), device=x.device)[:, None], index]
