"""Contrastive search (Su et al. 2022, "A Contrastive Framework for Neural Text Generation").

Shape letters: b inputs, k candidates per input, t tokens, v vocabulary, d width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.generation.constraint.tracker import Tracker
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.method import Method
from mmtx_cli.generation.rules import Rule
from mmtx_cli.generation.texts import Open


@dataclass
class Candidates(Open):
    """The rows of an input are the candidates for its next token; all continue the same text."""

    steps: Int[Tensor, " b"]
    """Number of decoder steps so far: one for BOS and one for each token."""
    choice: Float[Tensor, "b k"]
    """Probability of each candidate; -inf if it is forbidden."""
    log_prob: Float[Tensor, "b k"]
    """Log-probability of each candidate by the model."""
    past: Float[Tensor, "b s d"]
    """Hidden states of the text, of unit norm; d is 0 before the first step."""

    def put(self, inputs: Int[Tensor, " m"], other: "Candidates") -> None:
        """Replace some inputs; the new ones have no past yet."""
        other.past = self.past[inputs]
        super().put(inputs, other)


class ContrastiveSearch(Method):
    """Chooses among the ``top_k`` most probable tokens the one with the largest

    (1 - a) p(token) - a max cos(h, h'),

    where a is ``penalty_alpha``, h the hidden state that follows the token and h' those of the text
    so far (equation 5).
    """

    def __init__(
        self,
        limits: Limits,
        penalty_alpha: float,
        top_k: int = 4,
        length_penalty: float = 1.0,
        rules: Sequence[Rule] = (),
        tracker: Tracker | None = None,
    ) -> None:
        super().__init__(limits, length_penalty, rules=rules, tracker=tracker)
        self.penalty_alpha, self.rows = penalty_alpha, top_k

    @property
    def steps(self) -> int:
        """One step more than tokens, since the last candidates are compared by their states."""
        return self.limits.max_length

    def begin(self, keys: Int[Tensor, " b"]) -> Candidates:
        """Return the state of new inputs, whose only candidate is BOS."""
        now = Open.begin(len(keys), self.rows, self.limits, keys.device)
        return Candidates(
            **vars(now),
            steps=torch.zeros_like(now.length),
            choice=torch.zeros_like(now.scores),
            log_prob=torch.zeros_like(now.scores),
            past=now.scores.new_zeros(len(keys), self.steps, 0),
        )

    def advance(
        self, now: Candidates, logits: Float[Tensor, "b k v"], hidden: Float[Tensor, "b k d"]
    ) -> Int[Tensor, "b k"]:
        """Choose a candidate by its hidden state; the next candidates follow it."""
        state = F.normalize(hidden.float(), dim=2)
        if not now.past.shape[2]:
            now.past = state.new_zeros(*now.past.shape[:2], state.shape[2])
        chosen = self.chosen(now, state)[:, None]
        self.append(now, chosen)
        index = torch.arange(len(chosen), device=chosen.device)
        now.past[index, now.steps.clamp(max=self.steps - 1)] = state[index, chosen[:, 0]]
        now.steps += ~now.done
        logits = logits[index[:, None], chosen].float()
        scores = self.single_ruled(logits, now.tokens[:, :1], now.length)[:, 0]
        best, now.last = scores.topk(min(self.rows, scores.shape[1]), dim=1)
        spare = self.rows - best.shape[1]  # more candidates than words
        best, now.last = F.pad(best, (0, spare), value=-torch.inf), F.pad(now.last, (0, spare))
        possible = best > -torch.inf
        now.choice = scores.softmax(dim=1).gather(1, now.last).masked_fill(~possible, -torch.inf)
        now.log_prob = logits[:, 0].log_softmax(dim=1).gather(1, now.last)
        now.log_prob = now.log_prob.masked_fill(~possible, -torch.inf)
        return chosen.expand(-1, self.rows)

    def chosen(self, now: Candidates, state: Float[Tensor, "b k d"]) -> Int[Tensor, " b"]:
        """Return the candidate with the largest probability less its similarity to the text."""
        similarity = state @ now.past.transpose(1, 2)
        written = torch.arange(now.past.shape[1], device=state.device) < now.steps[:, None]
        similarity = similarity.masked_fill(~written[:, None], -1.0).amax(dim=2)
        a = self.penalty_alpha
        return ((1 - a) * now.choice - a * similarity).argmax(dim=1)

    def append(self, now: Candidates, chosen: Int[Tensor, "b 1"]) -> None:
        """Append the chosen candidates to the texts that are open and have any."""
        going = (now.steps > 0) & ~now.done
        token, log_prob = now.last.gather(1, chosen)[:, 0], now.log_prob.gather(1, chosen)[:, 0]
        index = going.nonzero()[:, 0]
        now.tokens[index, 0, now.length[index]] = token[index]
        now.log_probs[index, 0, now.length[index]] = log_prob[index]
        now.scores[:, 0] += log_prob.masked_fill(~going, 0)
        now.length += going
        ended = going & ((token == self.limits.eos) | (log_prob == -torch.inf))
        now.finished[ended, 0] = (now.scores / self.norm(now))[ended, 0]
        now.finished_tokens[ended], now.finished_log_probs[ended] = (
            now.tokens[ended],
            now.log_probs[ended],
        )
        now.scores[ended] = -torch.inf
        now.group_done |= ended[:, None]
