"""Texts of a data set, and which of them each sample uses in an epoch."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from mmtx_cli.data.text.columns import TextColumn
from mmtx_cli.types import IGNORE_INDEX


class DrawnTexts:
    """Tokenized columns, of which each sample uses one text at a time.

    In training, the turn is the epoch, and the text is drawn from (seed, epoch, id). In evaluation,
    the turn is the index of the text.

    Args:
        columns: The texts by name.
        training: Whether to draw texts.
        seed: Seed of the draws.
        keys: Keys of the samples' ids.
        epochs: Number of epochs whose draws are kept.
    """

    def __init__(
        self,
        columns: Mapping[str, TextColumn],
        training: bool,
        seed: int,
        keys: np.ndarray,
        epochs: int = 1,
    ) -> None:
        self.columns, self.training, self.seed, self.keys = columns, training, seed, keys
        self.epochs = epochs
        self.last_drawn: dict[tuple[str, int], np.ndarray] = {}

    def drawn(self, column: str, epoch: int) -> np.ndarray:
        """Return the index of the text that each sample uses in this epoch."""
        key = column, epoch
        if key not in self.last_drawn:
            while len(self.last_drawn) >= len(self.columns) * self.epochs:
                del self.last_drawn[next(iter(self.last_drawn))]
            self.last_drawn[key] = self.columns[column].drawn(self.seed, epoch, self.keys)
        return self.last_drawn[key]

    def lengths(self, epoch: int) -> np.ndarray:
        """Return the total number of text tokens of each sample in this epoch."""
        return sum(self.column_lengths(epoch).values(), np.zeros(len(self.keys), dtype=np.int64))

    def column_lengths(self, epoch: int) -> dict[str, np.ndarray]:
        """Return the number of tokens of each sample's text in this epoch, by column."""
        first = np.zeros(len(self.keys), dtype=np.int64)
        return {
            name: column.lengths(self.drawn(name, epoch) if self.training else first)
            for name, column in self.columns.items()
        }

    def which(self, name: str, turn: int, row: int) -> int | None:
        """Return the index of the drawn or indexed text, or None if there is none."""
        if name not in self.columns:
            return None
        which = int(self.drawn(name, turn)[row]) if self.training else turn
        return which if which < self.columns[name].count(row) else None

    def tokens(self, name: str, row: int, which: int) -> Tensor:
        """Return the tokens of one text of a sample."""
        return torch.from_numpy(self.columns[name].get(row, which).astype(np.int64))

    def several(self, name: str, row: int, first: int, most: int) -> Tensor:
        """Return up to ``most`` texts of a sample from ``first`` on, padded with IGNORE_INDEX."""
        count = self.columns[name].count(row)
        chosen = [(first + i) % count for i in range(min(most, count))]
        tokens = [self.tokens(name, row, i) for i in chosen]
        return pad_sequence(tokens, batch_first=True, padding_value=IGNORE_INDEX)
