"""Beam search and diverse beam search.

Shape letters: b inputs, k beams per input, n candidates, v vocabulary, d width.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.generation.candidates import best_candidates, seeking_candidates, spread
from mmtx_cli.generation.constraint.tracker import Allowed, Tracker
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.method import Method, append
from mmtx_cli.generation.rules import Rule
from mmtx_cli.generation.texts import Open, gather_rows


class BeamSearch(Method):
    """Keeps the most probable texts; an input ends independently of the others in the batch.

    It is finished when its best open beam, judged by its current score, is no better than its worst
    kept text (Wu et al. 2016, section 7, without the coverage term); with ``early_stopping``, when
    as many texts as beams have ended. Several ``groups`` search one after the other, and the log-
    probability of a token is reduced by ``diversity_penalty`` for each beam of the groups before
    that has just chosen it (diverse beam search, Vijayakumar et al. 2018, Hamming diversity). Where
    a constraint requires words, beams compete with those that lack as many tokens (``spread``).
    """

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
        tracker: Tracker | None = None,
    ) -> None:
        super().__init__(limits, length_penalty, num_texts, rules, tracker)
        self.rows, self.groups = num_beams, groups
        self.early_stopping, self.diversity_penalty = early_stopping, diversity_penalty

    def begin(self, keys: Int[Tensor, " b"]) -> Open:
        """Return the state of new inputs: all beams of a group are equal, so one is expanded."""
        return Open.begin(len(keys), self.rows, self.limits, keys.device, self.groups)

    def advance(
        self, now: Open, logits: Float[Tensor, "b k v"], hidden: Float[Tensor, "b k d"]
    ) -> Int[Tensor, "b k"]:
        """Extend every group by the best tokens."""
        own = logits.float().log_softmax(dim=-1)
        ruled, allowed = self.ruled(own, now.tokens, now.length)
        seeks = self.tracker is not None and self.tracker.seeks
        size = self.rows // self.groups
        norm = (now.length + 1)[:, None].to(torch.float32) ** self.length_penalty
        origins, was_done = [], now.done
        for group in range(self.groups):
            rows = slice(group * size, (group + 1) * size)
            scores = ruled[:, rows]
            if group and self.diversity_penalty:
                counts = F.one_hot(now.last[:, : rows.start], scores.shape[-1]).sum(dim=1)
                scores = scores - self.diversity_penalty * counts[:, None]
            sought = allowed.only(rows) if allowed and seeks else None
            origins.append(rows.start + self.extend(now, rows, own[:, rows], scores, norm, sought))
            now.group_done[:, group] |= self.is_done(now, rows, norm)
        now.length += ~was_done
        return torch.cat(origins, dim=1)

    def extend(
        self,
        now: Open,
        rows: slice,
        own: Float[Tensor, "b k v"],
        scores: Float[Tensor, "b k v"],
        norm: Float[Tensor, "b 1"],
        sought: Allowed | None,
    ) -> Int[Tensor, "b k"]:
        """Extend the beams of a group; return which of its beams each continues.

        Args:
            now: The state.
            rows: The beams.
            own: Log-probabilities of the next token by the model.
            scores: The same as they are searched.
            norm: Divisor of the scores of texts that end here.
            sought: What a constraint allows that requires words.
        """
        total = now.scores[:, rows, None] + scores
        k, v = total.shape[1:]
        if sought is None:
            best, index = best_candidates(total)
        else:
            best, index = seeking_candidates(total, sought.closer(self.limits.eos))
        origin, token = index // v, index % v
        chosen_log_probs = own.flatten(1).gather(1, index)
        tokens = append(now.tokens[:, rows], origin, token, now.length)
        log_probs = append(now.log_probs[:, rows], origin, chosen_log_probs, now.length)
        ended = token == self.limits.eos
        in_top_k = torch.arange(best.shape[1], device=best.device) < k
        if sought is not None:  # texts with all words compete with others that lack some
            in_top_k[:] = True
        group = rows.start // k
        accepted = ended & in_top_k & ~now.group_done[:, group, None]
        now.finish(rows, (best / norm).masked_fill(~accepted, -torch.inf), tokens, log_probs)
        best = best.masked_fill(ended, -torch.inf)
        if sought is None:
            now.scores[:, rows], chosen = best.topk(k, dim=1)
        else:
            chosen = spread(best, sought.behind.flatten(1).gather(1, index))[:, :k]
            now.scores[:, rows] = best.gather(1, chosen)
        now.tokens[:, rows] = gather_rows(tokens, chosen)
        now.log_probs[:, rows] = gather_rows(log_probs, chosen)
        now.last[:, rows] = token.gather(1, chosen)
        return origin.gather(1, chosen)

    def is_done(self, now: Open, rows: slice, norm: Float[Tensor, "b 1"]) -> Bool[Tensor, " b"]:
        """Return for which inputs a group is finished."""
        worst = now.finished[:, rows.stop - 1]
        if self.early_stopping:
            return worst > -torch.inf
        return worst >= now.scores[:, rows].amax(dim=1) / norm[:, 0]
