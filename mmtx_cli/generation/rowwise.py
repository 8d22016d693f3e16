"""Methods in which every row continues itself: greedy and sampling.

Shape letters: b inputs, k rows per input, t tokens, v vocabulary, d width.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.counter_rng.tensors import uniform
from mmtx_cli.generation.constraint.tracker import Tracker
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.method import Method
from mmtx_cli.generation.rules import Rule
from mmtx_cli.generation.texts import Open


class RowWise(Method):
    """Chooses one next token for each text."""

    @abstractmethod
    def choose(self, scores: Float[Tensor, "b k v"], now: Open) -> Int[Tensor, "b k"]:
        """Return the next token of each row.

        Args:
            scores: Of the tokens; -inf forbids one.
            now: The state.
        """

    def begin(self, keys: Int[Tensor, " b"]) -> Open:
        """Return the state of new inputs, in which every row is a group of its own."""
        return Open.begin(len(keys), self.rows, self.limits, keys.device, groups=self.rows)

    def advance(
        self, now: Open, logits: Float[Tensor, "b k v"], hidden: Float[Tensor, "b k d"]
    ) -> None:
        """Append a token to every open text."""
        logits = logits.float()
        scores = self.single_ruled(logits, now.tokens, now.length)
        token = self.choose(scores, now)[..., None]
        log_prob = logits.log_softmax(dim=2).gather(2, token)
        # where all tokens are forbidden, the text has no score
        log_prob = log_prob.masked_fill(scores.gather(2, token) == -torch.inf, -torch.inf)
        place = now.length[:, None, None].expand_as(token)
        now.tokens.scatter_(2, place, token)
        now.log_probs.scatter_(2, place, log_prob)
        now.scores = torch.where(now.group_done, now.scores, now.scores + log_prob[..., 0])
        now.length += ~now.done
        now.last = token[..., 0]
        ended = ~now.group_done & ((now.last == self.limits.eos) | (now.scores == -torch.inf))
        now.finished = torch.where(ended, now.scores / self.norm(now), now.finished)
        place_of = ended[..., None]
        now.finished_tokens = torch.where(place_of, now.tokens, now.finished_tokens)
        now.finished_log_probs = torch.where(place_of, now.log_probs, now.finished_log_probs)
        now.scores = now.scores.masked_fill(ended, -torch.inf)
        now.group_done = now.group_done | ended


class Greedy(RowWise):
    """Chooses the most probable token."""

    rows = 1

    def choose(self, scores: Float[Tensor, "b 1 v"], now: Open) -> Int[Tensor, "b 1"]:
        """Return the token with the best score."""
        return scores.argmax(dim=2)


@dataclass
class Sampled(Open):
    """Texts that are being sampled."""

    random: Float[Tensor, "b k s"]
    """Uniform random numbers."""


class Sampling(RowWise):
    """Draws each token from its distribution.

    The random numbers depend on the key of the input, the number of the text and its length alone,
    so a text does not depend on the other inputs in the batch. The distribution is first sharpened
    by ``temperature``, then restricted to the ``top_k`` most probable tokens, to the most probable
    ones that together have the probability ``top_p`` (nucleus sampling, Holtzman et al. 2020), and
    to those of at least ``min_p`` times the largest probability (Nguyen et al. 2024).
    """

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
        tracker: Tracker | None = None,
    ) -> None:
        super().__init__(limits, length_penalty, num_texts, rules, tracker)
        self.rows = num_texts
        self.temperature, self.top_k, self.top_p, self.min_p = temperature, top_k, top_p, min_p

    def begin(self, keys: Int[Tensor, " b"]) -> Sampled:
        """Draw the random numbers of new inputs."""
        drawn = [uniform(keys, self.steps, f"text {i}") for i in range(self.rows)]
        return Sampled(**vars(super().begin(keys)), random=torch.stack(drawn, dim=1))

    def choose(self, scores: Float[Tensor, "b k v"], now: Open) -> Int[Tensor, "b k"]:
        """Draw a token of each row by inversion of the cumulative distribution."""
        assert isinstance(now, Sampled)
        p = self.restricted(scores / self.temperature).double().softmax(dim=2)
        cumulative = p.cumsum(dim=2)
        place = now.length.clamp(max=self.steps - 1)[:, None, None].expand(*p.shape[:2], 1)
        random = now.random.gather(2, place)
        chosen = torch.searchsorted(cumulative, random * cumulative[..., -1:], right=True)
        return chosen[..., 0].clamp(max=p.shape[2] - 1)

    def restricted(self, scores: Float[Tensor, "b k v"]) -> Float[Tensor, "b k v"]:
        """Return the scores with -inf for tokens that are not drawn."""
        if self.top_k is not None:
            worst = scores.topk(min(self.top_k, scores.shape[2]), dim=2).values[..., -1:]
            scores = scores.masked_fill(scores < worst, -torch.inf)
        if self.top_p is not None:
            ordered, order = scores.sort(dim=2, descending=True, stable=True)
            p = ordered.softmax(dim=2)
            beyond = p.cumsum(dim=2) - p >= self.top_p
            beyond[..., 0] = False
            scores = scores.masked_fill(beyond.gather(2, order.argsort(dim=2)), -torch.inf)
        if self.min_p is not None:
            p = scores.softmax(dim=2)
            least = self.min_p * p.amax(dim=2, keepdim=True)
            scores = scores.masked_fill(p < least, -torch.inf)
        return scores
