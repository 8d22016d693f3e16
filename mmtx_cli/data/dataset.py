"""From a row of the manifest to an example: files decoded, texts tokenised, targets encoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from mmtx_cli.data.draw import draws, id_keys
from mmtx_cli.data.image import decode_image
from mmtx_cli.data.sample import Sample
from mmtx_cli.data.text import TextColumn, column_texts
from mmtx_cli.data.tokenizer import Tokenizer
from mmtx_cli.data.transform import augmented, fit, to_tensor
from mmtx_cli.data.unreadable import UnreadableError

AUGMENT = 2
"""The purpose of the draw that seeds a sample's augmentation."""


@dataclass(frozen=True)
class Preparation:
    """How samples become tensors: kept with the model, since it must stay the same."""

    image_size: int = 224
    fit: str = "crop"
    text: str | None = "text"
    max_length: int = 64


@dataclass
class Example:
    """One prepared sample; a modality or target that it lacks has no entry."""

    id: str
    inputs: dict[str, Tensor] = field(default_factory=dict)
    targets: dict[str, Tensor] = field(default_factory=dict)
    fault: dict[str, str] | None = None


class Samples(Dataset):
    """Random access to prepared samples by (turn, row).

    In training the turn is the epoch: caption and augmentation are drawn from (seed, epoch, id).
    In evaluation the turn is the number of the text: 0 brings the whole sample, 1 and up bring
    the further texts alone (every caption of a picture counts in retrieval).
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        modalities: Sequence[str],
        needs: Sequence[str],
        preparation: Preparation,
        tokenizer: Tokenizer | None,
        label_names: Sequence[str] = (),
        multi_label: bool = False,
        training: bool = False,
        seed: int = 0,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.samples = samples
        self.modalities = tuple(modalities)
        self.needs = tuple(needs)
        self.preparation = preparation
        self.labels = {name: i for i, name in enumerate(label_names)}
        self.multi_label = multi_label
        self.training = training
        self.seed = seed
        self.augment = augment
        self.keys = id_keys(sample.id for sample in samples)
        self.columns: dict[str, TextColumn] = {}
        used = {preparation.text} if "text" in modalities else set()
        for column in (used | {"captions"} & set(needs)) - {None}:
            assert column is not None
            assert tokenizer is not None, "texts need a tokenizer"
            texts = column_texts(samples, column)
            self.columns[column] = TextColumn(texts, tokenizer, preparation.max_length)
        self.last_drawn: dict[str, tuple[int, np.ndarray]] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def drawn(self, column: str, epoch: int) -> np.ndarray:
        """Which text of each sample this epoch uses; drawn for all samples at once."""
        if self.last_drawn.get(column, (None, None))[0] != epoch:
            texts = self.columns[column].drawn(self.seed, epoch, self.keys)
            self.last_drawn[column] = epoch, texts
        return self.last_drawn[column][1]

    def lengths(self, epoch: int) -> np.ndarray:
        """Tokens of the texts that each sample brings in this epoch."""
        total = np.zeros(len(self.samples), dtype=np.int64)
        for name, column in self.columns.items():
            which = self.drawn(name, epoch) if self.training else np.zeros_like(total)
            total += column.lengths(which)
        return total

    def __getitem__(self, key: tuple[int, int]) -> Example:
        turn, row = int(key[0]), int(key[1])
        example = Example(self.samples[row].id)
        try:
            self.read(example, turn, row)
        except UnreadableError as error:
            # the sample stays, as one that lacks everything: nobody else's content takes its place
            fault = {"id": example.id, "path": error.path, "reason": error.reason}
            return Example(example.id, fault=fault)
        return example

    def read(self, example: Example, turn: int, row: int) -> None:
        """Fill in what the sample has."""
        whole = self.training or turn == 0
        sample = self.samples[row]
        if "text" in self.modalities and self.preparation.text:
            tokens = self.text(self.preparation.text, turn, row)
            if tokens is not None:
                example.inputs["text"] = tokens
        if "image" in self.modalities and sample.image and whole:
            example.inputs["image"] = self.pictures(sample, turn, row)
        if "captions" in self.needs and whole:
            tokens = self.text("captions", turn, row)
            if tokens is not None:
                example.targets["captions"] = tokens
        if "label" in self.needs and sample.label is not None and whole:
            example.targets["label"] = self.label(sample)

    def text(self, column: str, turn: int, row: int) -> Tensor | None:
        """Tokens of the drawn or numbered text."""
        texts = self.columns[column]
        which = int(self.drawn(column, turn)[row]) if self.training else turn
        if which >= texts.count(row):
            return None
        return torch.from_numpy(texts.get(row, which).astype(np.int64))

    def pictures(self, sample: Sample, turn: int, row: int) -> Tensor:
        """All pictures of a sample, [l, 3, size, size] bytes."""
        size = self.preparation.image_size
        # a random crop may use a part of the picture only: decode finer than the square
        scale = 1 if self.augment is None else 2
        pictures = [to_tensor(decode_image(path, size * scale)) for path in sample.image]
        if self.augment is not None:
            key = draws(self.seed, turn, self.keys[row : row + 1], AUGMENT)[0]
            seed = int(key >> np.uint64(1))
            pictures = [augmented(p, self.augment, seed + i) for i, p in enumerate(pictures)]
        return torch.stack([fit(p, size, self.preparation.fit) for p in pictures])

    def label(self, sample: Sample) -> Tensor:
        """Number of the label; a row of 0 and 1 where several hold."""
        if not self.multi_label:
            return torch.tensor(self.labels[str(sample.label)])
        names = sample.label if isinstance(sample.label, tuple) else (str(sample.label),)
        target = torch.zeros(len(self.labels), dtype=torch.long)
        target[[self.labels[name] for name in names]] = 1
        return target
