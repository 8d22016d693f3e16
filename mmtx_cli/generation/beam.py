"""Batched beam search over any decoder that makes one step at a time.

Shape letters: b inputs, k beams per input, t tokens, v vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Step = Callable[[Tensor, int], Tensor]
"""(tokens [b, k], position) -> logits [b, k, v] of the next token."""
Reorder = Callable[[Tensor, int], None]
"""(rows [b * k], length): beam row i continues the first ``length`` tokens of row ``rows[i]``."""


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


def beam_search(
    step: Step,
    reorder: Reorder,
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
        step: Returns the logits of the next tokens.
        reorder: Reorders the decoder's cache after each step.
        batch: Number of inputs.
        num_beams: Beams per input.
        max_length: Number of returned tokens, of which the last is always ``eos``.
        bos: ID of the begin token.
        eos: ID of the end token.
        length_penalty: Exponent of the length in the score.
        device: Device of the decoder.
    """
    k, rows = num_beams, torch.arange(batch, device=device)
    open_scores = torch.full((batch, k), -torch.inf, device=device)
    open_scores[:, 0] = 0.0  # all beams start equal: expand only one
    sequences = torch.full((batch, k, max_length), eos, device=device)
    last = torch.full((batch, k), bos, device=device)
    finished = Finished(sequences.clone(), torch.full((batch, k), -torch.inf, device=device))
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    for t in range(max_length - 1):
        best, origin, token = extensions(open_scores, step(last, t))
        extended = gather_beams(sequences, origin)
        extended[:, :, t] = token
        norm = (t + 1) ** length_penalty
        ended = token == eos
        # finished ones must rank in the top k
        in_top_k = torch.arange(best.shape[1], device=device) < k
        accepted = ended & in_top_k & ~done[:, None]
        finished.add(extended, (best / norm).masked_fill(~accepted, -torch.inf))
        open_scores, chosen = best.masked_fill(ended, -torch.inf).topk(k, dim=1)
        sequences, last = gather_beams(extended, chosen), token.gather(1, chosen)
        done |= finished.scores[:, -1] >= open_scores[:, 0] / norm
        if bool(done.all()):
            break
        if k > 1:
            reorder((rows[:, None] * k + origin.gather(1, chosen)).flatten(), t + 1)
    # inputs without a finished hypothesis keep their best open one
    norm = max(t + 1, 1) ** length_penalty
    unfinished = finished.scores[:, 0] == -torch.inf
    finished.add(sequences, (open_scores / norm).masked_fill(~unfinished[:, None], -torch.inf))
    return finished.tokens[:, 0], finished.scores[:, 0]
