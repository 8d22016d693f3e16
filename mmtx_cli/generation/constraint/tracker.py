"""Which tokens a constraint allows next in each text.

Shape letters: b inputs, k texts per input, t tokens, v vocabulary.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mmtx_cli.generation.constraint.byte_automaton import DEAD
from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.constraint.token_automaton import FAR

FORBIDDEN = FAR
"""Distance behind a token that is not allowed."""
UNKNOWN = -1
"""Distance of a text that is finished or not open."""


@dataclass(frozen=True)
class Allowed:
    """How many tokens are missing up to the end of each text, without the end token.

    Args:
        before: Of the texts so far; UNKNOWN if a text is not open.
        behind: Behind each next token; FORBIDDEN if it may not follow, 0 for the end token.
    """

    before: Int[Tensor, "b k"]
    behind: Int[Tensor, "b k v"]

    def only(self, rows: slice) -> "Allowed":
        """Return the entries of some texts of each input."""
        return Allowed(self.before[:, rows], self.behind[:, rows])

    def closer(self, eos: int) -> Bool[Tensor, "b k v"]:
        """Return the tokens that bring a text closer to its end, and the end itself."""
        found = self.behind < self.before[..., None]
        found[..., eos] = self.behind[..., eos] != FORBIDDEN
        return found


class Tracker:
    """Follows the texts of a search through the automaton of a constraint.

    A text is only continued by tokens after which it can still be completed within ``steps``
    tokens, so every finished text satisfies the constraint.
    """

    def __init__(self, constraint: Constraint, eos: int, steps: int) -> None:
        """``steps`` is the number of tokens of the longest text, with the end token.

        Raises:
            ConfigError: If no text is that short.
        """
        constraint.check_length(steps)
        self.tokens, self.eos, self.steps = constraint.tokens, eos, steps
        self.seeks = constraint.seeks
        self._next: dict[tuple[int, int], int] = {}

    def state(self, text: list[int]) -> int:
        """Return the state after some tokens."""
        state = self.tokens.start
        for token in text:
            key = (state, token)
            if key not in self._next:
                self._next[key] = self.tokens.next_state(state, token)
            state = self._next[key]
            if state == DEAD:
                return DEAD
        return state

    def allowed(
        self, tokens: Int[Tensor, "b k t"], length: Int[Tensor, " b"], size: int
    ) -> Allowed:
        """Return which tokens may follow the texts.

        Args:
            tokens: Of the texts so far, without BOS.
            length: Number of tokens of the texts of each input; those behind are arbitrary.
            size: Number of tokens of the vocabulary.
        """
        lengths = length.tolist()
        groups: dict[tuple[int, int], list[int]] = {}
        rows = tokens.flatten(0, 1).tolist()
        for i, row in enumerate(rows):
            count = lengths[i // tokens.shape[1]]
            groups.setdefault((self.state(row[:count]), self.steps - count), []).append(i)
        behind = torch.full((len(rows), size), FORBIDDEN, dtype=torch.int32)
        before = torch.full((len(rows),), UNKNOWN, dtype=torch.int32)
        for (state, left), places in groups.items():
            if state == DEAD or left < 1:
                continue
            distance = int(self.tokens.distance[state])
            found = self.tokens.following(state)
            # this token, those behind it and the end token; some tokenizers have further tokens
            fits = (found.distance + 2 <= left) & (found.tokens < size)
            row = torch.full((size,), FORBIDDEN, dtype=torch.int32)
            row[torch.from_numpy(found.tokens[fits])] = torch.from_numpy(found.distance[fits])
            row[self.eos] = 0 if distance == 0 else FORBIDDEN
            behind[places], before[places] = row, distance
        shape = tokens.shape[:2]
        device = tokens.device
        return Allowed(before.view(shape).to(device), behind.view(*shape, size).to(device))


def restricted(
    scores: Float[Tensor, "b k v"], own: Float[Tensor, "b k v"], allowed: Allowed
) -> Float[Tensor, "b k v"]:
    """Return the scores with -inf for tokens that are not allowed.

    Where the other rules forbid all allowed tokens, the model's own scores are used: a constraint
    has priority over them.

    Args:
        scores: Of the next tokens, changed by the other rules.
        own: The scores of the model.
        allowed: The tokens that the constraint allows; texts that are not open stay as they are.
    """
    forbidden = (allowed.behind == FORBIDDEN) & (allowed.before != UNKNOWN)[..., None]
    left = scores.masked_fill(forbidden, -torch.inf)
    blocked = (left == -torch.inf).all(dim=2, keepdim=True)
    return torch.where(blocked, own.masked_fill(forbidden, -torch.inf), left)


def urged(
    scores: Float[Tensor, "b k v"], own: Float[Tensor, "b k v"], allowed: Allowed, eos: int
) -> Float[Tensor, "b k v"]:
    """Return the scores with -inf for tokens that bring a text no closer to its required words,
    where the model would end the text.

    Args:
        scores: Of the next tokens, restricted to the allowed ones.
        own: The scores of the model.
        allowed: The tokens that the constraint allows.
        eos: The end token.
    """
    lacks = (allowed.before > 0) & (allowed.behind[..., eos] == FORBIDDEN)
    urgent = (lacks & (own.argmax(dim=2) == eos))[..., None]
    farther = ~allowed.closer(eos)
    near = scores.masked_fill(farther, -torch.inf)
    blocked = (near == -torch.inf).all(dim=2, keepdim=True)  # by the other rules
    near = torch.where(blocked, own.masked_fill(farther, -torch.inf), near)
    return torch.where(urgent, near, scores)
