"""Examples to a batch: every configured modality is always there, absent ones masked."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mmtx_cli.data.dataset import Example
from mmtx_cli.types import IGNORE, Batch, Field


@dataclass(frozen=True)
class Collate:
    """Pads with zeros and masks; targets that a sample lacks are IGNORE.

    Texts are as long as the longest of the batch, rounded up to a multiple of ``round_to``.
    """

    modalities: tuple[str, ...]
    needs: tuple[str, ...]
    image_size: int
    num_labels: int = 0
    multi_label: bool = False
    round_to: int = 1

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Put the examples together in their order."""
        inputs = {name: self.field(name, examples) for name in self.modalities}
        targets = {name: self.target(name, examples) for name in self.needs}
        faults = [example.fault for example in examples if example.fault]
        return Batch(inputs, targets, [example.id for example in examples], faults)

    def field(self, name: str, examples: Sequence[Example]) -> Field:
        """One modality of all samples."""
        rows = [example.inputs.get(name) for example in examples]
        if name == "image":
            size = self.image_size
            return pad(rows, (3, size, size), torch.uint8)
        return pad(rows, (), torch.long, self.round_to)

    def target(self, name: str, examples: Sequence[Example]) -> Tensor:
        """One target of all samples."""
        rows = [example.targets.get(name) for example in examples]
        if name == "captions":
            tokens = pad(rows, (), torch.long, self.round_to)
            return tokens.data.masked_fill(~tokens.mask, IGNORE)
        absent = torch.tensor(IGNORE)
        if self.multi_label:
            absent = torch.full((self.num_labels,), IGNORE)
        return torch.stack([absent if row is None else row for row in rows])


def pad(
    rows: Sequence[Tensor | None], shape: tuple[int, ...], dtype: torch.dtype, round_to: int = 1
) -> Field:
    """[b, l, *shape] with zeros behind each row, and the mask [b, l]; l is at least 1."""
    longest = max((len(row) for row in rows if row is not None), default=1)
    length = -(-max(longest, 1) // round_to) * round_to
    data = torch.zeros(len(rows), length, *shape, dtype=dtype)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, row in enumerate(rows):
        if row is not None:
            data[i, : len(row)] = row
            mask[i, : len(row)] = True
    return Field(data, mask)
