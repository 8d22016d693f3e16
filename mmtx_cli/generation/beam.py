"""Beam search, batched, over any decoder that makes one step at a time.

Shape letters: b inputs, k beams an input, t tokens, v vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

Step = Callable[[Tensor, int], Tensor]
"""(tokens [b, k], position) -> logits [b, k, v] of the next token."""
Reorder = Callable[[Tensor, int], None]
"""(rows [b * k], length): beam row i goes on from row ``rows[i]``, of which ``length`` counts."""


@dataclass
class Finished:
    """The best ended hypotheses of every input."""

    tokens: Int[Tensor, "b k t"]
    scores: Float[Tensor, "b k"]

    def add(self, tokens: Int[Tensor, "b m t"], scores: Float[Tensor, "b m"]) -> None:
        """Keep the k best of those here and those new."""
        every = torch.cat([self.scores, scores], dim=1)
        self.scores, chosen = every.topk(self.scores.shape[1], dim=1)
        self.tokens = take(torch.cat([self.tokens, tokens], dim=1), chosen)


def take(x: Tensor, index: Int[Tensor, "b m"]) -> Tensor:
    """``x[i, index[i, j]]`` for [b, k, …]."""
    return x[torch.arange(len(x), device=x.device)[:, None], index]


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
    """Return the best hypothesis of each input, ended and filled up with ``eos``, and its score.

    A hypothesis scores its log-probability divided by its length (EOS counts, BOS does not) to
    the power of ``length_penalty``. An input is done when its best open beam, judged by its
    present score, is no better than its worst kept hypothesis (Wu et al. 2016, section 7, without
    the coverage term); what else is in the batch does not matter.
    """
    k, rows = num_beams, torch.arange(batch, device=device)
    open_scores = torch.full((batch, k), -torch.inf, device=device)
    open_scores[:, 0] = 0.0  # all beams begin alike: only one may branch
    said = torch.full((batch, k, max_length), eos, device=device)
    last = torch.full((batch, k), bos, device=device)
    finished = Finished(said.clone(), torch.full((batch, k), -torch.inf, device=device))
    done = torch.zeros(batch, dtype=torch.bool, device=device)
    for t in range(max_length - 1):
        logits = step(last, t).float()
        scores = open_scores[..., None] + logits.log_softmax(dim=-1)
        v = scores.shape[-1]
        width = min(2 * k, k * v)  # of 2 k candidates at least k go on
        best, index = scores.flatten(1).topk(width, dim=1)
        origin, token = index // v, index % v
        grown = take(said, origin)
        grown[:, :, t] = token
        norm = (t + 1) ** length_penalty
        ended = token == eos
        within = torch.arange(width, device=device) < k  # an ending ranked below k is no beam
        counts = ended & within & ~done[:, None]
        finished.add(grown, (best / norm).masked_fill(~counts, -torch.inf))
        open_scores, chosen = best.masked_fill(ended, -torch.inf).topk(k, dim=1)
        said, last = take(grown, chosen), token.gather(1, chosen)
        done |= finished.scores[:, -1] >= open_scores[:, 0] / norm
        if bool(done.all()):
            break
        if k > 1:
            reorder((rows[:, None] * k + origin.gather(1, chosen)).flatten(), t + 1)
    # what never ended counts as it stands
    norm = max(t + 1, 1) ** length_penalty
    left = finished.scores[:, 0] == -torch.inf
    finished.add(said, (open_scores / norm).masked_fill(~left[:, None], -torch.inf))
    return finished.tokens[:, 0], finished.scores[:, 0]
