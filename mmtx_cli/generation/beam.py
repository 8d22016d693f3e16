"""Batched beam search over any decoder that makes one step at a time.

Shape letters: b inputs, k beams per input, t tokens, v vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Step = Callable[[Tensor, int], Tensor]
"""(tokens [b, k], position) -> logits [b, k, v] of the next token."""


@dataclass
class Finished:
    """The best finished hypotheses of every input."""

    tokens: Int[Tensor, "b k t"]
    scores: Float[Tensor, "b k"]

    def add(self, tokens: Int[Tensor, "b m t"], scores: Float[Tensor, "b m"]) -> None:
        """Keep the k best of the current and the given hypotheses."""
        all_scores = torch.cat([self.scores, scores], dim=1)
        self.scores, chosen = all_scores.topk(self.scores.shape[1], dim=1)
        self.tokens = gather_beams(torch.cat([self.tokens, tokens], dim=1), chosen)


def gather_beams(x: Tensor, index: Int[Tensor, "b m"]) -> Tensor:
    """Return ``x[i, index[i, j]]`` for ``x`` of shape [b, k, …]."""
    return x[torch.arange(len(x), device=x.device)[:, None], index]


def extensions(
    scores: Float[Tensor, "b k"], logits: Float[Tensor, "b k v"]
) -> tuple[Float[Tensor, "b m"], Int[Tensor, "b m"], Int[Tensor, "b m"]]:
    """Return the best extensions of open beams by one token: total score, beam and token.

    There are 2 k of them if the vocabulary allows, so at least k do not end.
    """
    total = scores[..., None] + logits.float().log_softmax(dim=-1)
    _, k, v = total.shape
    best, index = total.flatten(1).topk(min(2 * k, k * v), dim=1)
    return best, index // v, index % v


@runtime_checkable
class Steps(Protocol):
    """What a decoder keeps between two steps: a row per beam of every input."""

    def reorder(self, rows: Int[Tensor, " rows"], length: int) -> None:
        """Let row i continue the first ``length`` tokens of row ``rows[i]``."""

    def keep(self, inputs: Int[Tensor, " m"], beams: int) -> None:
        """Keep only the rows of the given inputs."""


KEPT = 0.75
"""Unfinished share of the inputs below which the finished ones leave the batch: a step costs less,
but the cache is copied."""


@dataclass
class Search:
    """The open hypotheses of the inputs that are still in the batch."""

    index: Int[Tensor, " b"]
    """Places of the inputs among all."""
    scores: Float[Tensor, "b k"]
    sequences: Int[Tensor, "b k t"]
    last: Int[Tensor, "b k"]
    finished: Finished
    done: Bool[Tensor, " b"]

    def only(self, chosen: Int[Tensor, " m"]) -> "Search":
        """Return the state of some of the inputs."""
        finished = Finished(self.finished.tokens[chosen], self.finished.scores[chosen])
        return Search(
            self.index[chosen],
            self.scores[chosen],
            self.sequences[chosen],
            self.last[chosen],
            finished,
            self.done[chosen],
        )


def beam_search(
    step: Step,
    state: Steps,
    batch: int,
    num_beams: int,
    max_length: int,
    bos: int,
    eos: int,
    length_penalty: float,
    device: torch.device,
) -> tuple[Int[Tensor, "b t"], Float[Tensor, " b"]]:
    """Return the best hypothesis of each input, padded with ``eos``, and its score.

    The score is the log-probability divided by length ** ``length_penalty``; the length includes
    EOS but not BOS. An input is finished when its best open beam, judged by its current score, is
    no better than its worst kept hypothesis (Wu et al. 2016, section 7, without the coverage term),
    independently of the other inputs in the batch.

    Args:
        step: Returns the logits of the next tokens of the inputs in the batch.
        state: The decoder's state, which ``step`` reads and updates.
        batch: Number of inputs.
        num_beams: Beams per input.
        max_length: Number of returned tokens, of which the last is always ``eos``.
        bos: ID of the begin token.
        eos: ID of the end token.
        length_penalty: Exponent of the length in the score.
        device: Device of the decoder.
    """
    k = num_beams
    tokens = torch.full((batch, max_length), eos, device=device)
    scores = torch.full((batch,), -torch.inf, device=device)
    now = started(batch, k, max_length, bos, eos, device)
    for t in range(max_length - 1):
        norm = (t + 1) ** length_penalty
        origin = advance(now, step(now.last, t), t, norm, eos)
        remaining = int((~now.done).sum())
        if not remaining:
            break
        if k > 1:
            rows = torch.arange(len(origin), device=device)[:, None] * k + origin
            state.reorder(rows.flatten(), t + 1)
        if remaining <= KEPT * len(now.done):
            settle(now.only(now.done.nonzero()[:, 0]), norm, tokens, scores)
            open_inputs = (~now.done).nonzero()[:, 0]
            now = now.only(open_inputs)
            state.keep(open_inputs, k)
    settle(now, max(t + 1, 1) ** length_penalty, tokens, scores)
    return tokens, scores


def started(
    batch: int, k: int, max_length: int, bos: int, eos: int, device: torch.device
) -> Search:
    """Return the state before the first step: all beams are equal, so only one is expanded.

    Args:
        batch: Number of inputs.
        k: Beams per input.
        max_length: Number of tokens of a hypothesis.
        bos: ID of the begin token.
        eos: ID of the end token.
        device: Device of the decoder.
    """
    scores = torch.full((batch, k), -torch.inf, device=device)
    finished = Finished(torch.full((batch, k, max_length), eos, device=device), scores.clone())
    scores[:, 0] = 0.0
    last = torch.full((batch, k), bos, device=device)
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    index = torch.arange(batch, device=device)
    return Search(index, scores, finished.tokens.clone(), last, finished, done)


def advance(
    now: Search, logits: Float[Tensor, "b k v"], t: int, norm: float, eos: int
) -> Int[Tensor, "b k"]:
    """Extend the open hypotheses by token t, in place; return which beam each continues.

    Args:
        now: The state.
        logits: Of the token.
        t: Place of the token.
        norm: Divisor of the scores of hypotheses that end here.
        eos: ID of the end token.
    """
    k = now.scores.shape[1]
    best, origin, token = extensions(now.scores, logits)
    extended = gather_beams(now.sequences, origin)
    extended[:, :, t] = token
    ended = token == eos
    # finished ones must rank in the top k
    in_top_k = torch.arange(best.shape[1], device=best.device) < k
    accepted = ended & in_top_k & ~now.done[:, None]
    now.finished.add(extended, (best / norm).masked_fill(~accepted, -torch.inf))
    now.scores, chosen = best.masked_fill(ended, -torch.inf).topk(k, dim=1)
    now.sequences, now.last = gather_beams(extended, chosen), token.gather(1, chosen)
    now.done = now.done | (now.finished.scores[:, -1] >= now.scores[:, 0] / norm)
    return origin.gather(1, chosen)


def settle(now: Search, norm: float, tokens: Tensor, scores: Tensor) -> None:
    """Write the best hypotheses to ``tokens`` and ``scores``; without a finished one, an open one.

    Args:
        now: The state of the inputs.
        norm: Divisor of the scores of open hypotheses.
        tokens: Of all inputs.
        scores: Of all inputs.
    """
    unfinished = now.finished.scores[:, 0] == -torch.inf
    still_open = (now.scores / norm).masked_fill(~unfinished[:, None], -torch.inf)
    now.finished.add(now.sequences, still_open)
    tokens[now.index] = now.finished.tokens[:, 0]
    scores[now.index] = now.finished.scores[:, 0].to(scores.dtype)
