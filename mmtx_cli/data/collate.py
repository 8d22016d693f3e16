"""Collation of examples into batches, which contain every modality, with absent ones masked."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.utils.data import default_collate

from mmtx_cli.config.preprocessing import HOPS_PER_SECOND, Preprocessing
from mmtx_cli.data.dataset import PROMPT, Example
from mmtx_cli.data.targets import Targets
from mmtx_cli.data.text.columns import TEXT_TARGETS
from mmtx_cli.media.naflex import HEADER
from mmtx_cli.types import IGNORE_INDEX, Batch, ModalityInput


@dataclass(frozen=True)
class Collate:
    """Collates examples with zero padding; missing targets are IGNORE_INDEX, or NaN for floats.

    Texts and feature sequences are padded to the longest of the batch, rounded up to a multiple of
    ``round_to`` but limited to ``max_length`` (``max_feature_length``), for which models have
    positions. If samples have several target captions, the target is [b, k, t].

    Args:
        modalities: Input modalities of the model.
        needs: Targets of the heads.
        preparation: Preprocessing settings.
        known: Known classes and answers.
        round_to: Multiple to which lengths are rounded up.
        learners: Heads that are trained on some corpora only, with the names of those.
        encoded: Width and dtype of modalities that are read as cached encoder outputs.
        taught: Width and dtype of cached teacher outputs, which are targets of one vector.
        bodies: Modalities in ``encoded`` whose outputs are those of the encoder's body.
    """

    modalities: tuple[str, ...]
    needs: tuple[str, ...]
    preparation: Preprocessing
    known: Targets = field(default_factory=Targets)
    round_to: int = 1
    learners: Mapping[str, Set[str]] = field(default_factory=dict)
    encoded: Mapping[str, tuple[int, torch.dtype]] = field(default_factory=dict)
    teacher_outputs: Mapping[str, tuple[int, torch.dtype]] = field(default_factory=dict)
    bodies: Set[str] = frozenset()

    def __call__(self, examples: Sequence[Example]) -> Batch:
        """Collate examples in their order."""
        inputs = {name: self.one(name, examples) for name in self.modalities}
        targets = {name: self.target(name, examples) for name in self.needs}
        targets |= {name: self.vector(name, examples) for name in self.teacher_outputs}
        faults = [example.fault for example in examples if example.fault]
        masks = {
            name: [example.corpus in corpora for example in examples]
            for name, corpora in self.learners.items()
        }
        corpora = {example.corpus for example in examples}
        return Batch(
            inputs,
            targets,
            [example.id for example in examples],
            faults,
            {name: torch.tensor(rows) for name, rows in masks.items() if not all(rows)},
            frozenset(name for name, rows in masks.items() if not any(rows)),
            next(iter(corpora)) or None if len(corpora) == 1 else None,
            prompt=self.prompt(examples),
        )

    def prompt(self, examples: Sequence[Example]) -> Tensor | None:
        """Collate prompts, padded with IGNORE_INDEX; None if the model has no prompts of rows."""
        if self.preparation.prompt is None:
            return None
        rows = [example.inputs.get(PROMPT) for example in examples]
        tokens = pad(rows, self.rounded(rows), (), torch.long)
        return tokens.data.masked_fill(~tokens.mask, IGNORE_INDEX)

    def one(self, name: str, examples: Sequence[Example]) -> ModalityInput:
        """Collate one modality, marked as empty if no sample has it."""
        field = self.filled(name, examples)
        empty = not any(name in example.inputs for example in examples)
        return replace(field, empty=True) if empty else field

    def filled(self, name: str, examples: Sequence[Example]) -> ModalityInput:
        """Collate one modality, with zeros for samples that lack it."""
        rows = [example.inputs.get(name) for example in examples]
        p = self.preparation
        if name in self.encoded:
            return self.vectors(rows, name)
        if name in p.features:
            return self.features(rows, p.features[name])
        match name:
            case "image" if p.resize_mode == "naflex":
                values = HEADER + 3 * p.patch_size**2
                return pad(rows, self.rounded(rows), (values,), torch.uint8)
            case "image" | "video":
                return pad(rows, longest(rows), (3, p.image_size, p.image_size), torch.uint8)
            case "audio":
                return pad(rows, longest(rows), (p.sample_rate // HOPS_PER_SECOND,), torch.float32)
        return self.texts(rows)

    def texts(self, rows: Sequence[Tensor | None]) -> ModalityInput:
        """Collate token ids."""
        return pad(rows, min(self.rounded(rows), self.preparation.max_length), (), torch.long)

    def features(self, rows: Sequence[Tensor | None], width: int | None) -> ModalityInput:
        """Collate feature vectors; lengths are rounded up as for texts."""
        assert width is not None, "the feature width must be known"
        length = min(self.rounded(rows), self.preparation.max_feature_length)
        return pad(rows, length, (width,), torch.float32)

    def vectors(self, rows: Sequence[Tensor | None], name: str) -> ModalityInput:
        """Collate cached encoder outputs."""
        width, dtype = self.encoded[name]
        length = self.rounded(rows) if name == "text" else longest(rows)
        return replace(
            pad(rows, length, (width,), dtype), encoded=True, of_body=name in self.bodies
        )

    def vector(self, name: str, examples: Sequence[Example]) -> Tensor:
        """Collate a teacher's outputs, [b, c]; NaN for samples without one."""
        missing = torch.full((self.teacher_outputs[name][0],), torch.nan)
        rows = (example.targets.get(name) for example in examples)
        return torch.stack([missing if row is None else row.float() for row in rows])

    def rounded(self, rows: Sequence[Tensor | None]) -> int:
        """Return the length of the longest row, rounded up."""
        return -(-longest(rows) // self.round_to) * self.round_to

    def target(self, name: str, examples: Sequence[Example]) -> Tensor:
        """Collate one target."""
        rows = [example.targets.get(name) for example in examples]
        if name in TEXT_TARGETS:
            count = max((len(row) for row in rows if row is not None and row.dim() == 2), default=0)
            texts = [text for row in rows for text in texts_of(row, count)] if count else rows
            tokens = self.texts(texts)
            target = tokens.data.masked_fill(~tokens.mask, IGNORE_INDEX)
            return target.unflatten(0, (-1, count)) if count else target
        absent = self.known.absent(name)
        return torch.stack([absent if row is None else row for row in rows])


def texts_of(row: Tensor | None, count: int) -> list[Tensor | None]:
    """Return the texts of a sample with several targets, filled up with None to ``count``."""
    texts: list[Tensor | None] = [] if row is None else [text[text != IGNORE_INDEX] for text in row]
    return texts + [None] * (count - len(texts))


def longest(rows: Sequence[Tensor | None]) -> int:
    """Return the length of the longest row, at least 1."""
    return max((len(row) for row in rows if row is not None and len(row)), default=1)


def pad(
    rows: Sequence[Tensor | None], length: int, shape: tuple[int, ...], dtype: torch.dtype
) -> ModalityInput:
    """Pad rows with zeros to [b, length, *shape], with the mask [b, length].

    Args:
        rows: One tensor per sample; None is all padding.
        length: Length of the result.
        shape: Shape of an element of a row.
        dtype: Type of the result.
    """
    if all(row is not None and len(row) == length for row in rows):
        # default_collate writes directly into memory shared with the main process
        return ModalityInput(
            default_collate(list(rows)), torch.ones(len(rows), length, dtype=torch.bool)
        )
    data = torch.zeros(len(rows), length, *shape, dtype=dtype)
    mask = torch.zeros(len(rows), length, dtype=torch.bool)
    for i, row in enumerate(rows):
        if row is not None:
            data[i, : len(row)] = row
            mask[i, : len(row)] = True
    return ModalityInput(data, mask)
