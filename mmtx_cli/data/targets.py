"""Encoding of a sample's targets, except texts, as tensors."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.text.answer_normalization import normal_answer
from mmtx_cli.data.text.vqa_answers import answer_scores
from mmtx_cli.types import IGNORE_INDEX


@dataclass(frozen=True)
class Targets:
    """Known classes and answers, and the encoding of targets.

    - ``label``: the class index, or a multi-hot vector with ``multi_label``.
    - ``number``: a numeric label as float.
    - ``answers``: the VQA score of each known answer (``data/text/vqa_answers.py``).
    """

    label_names: Sequence[str] = ()
    multi_label: bool = False
    answer_names: Sequence[str] = ()
    labels: dict[str, int] = field(init=False, repr=False)
    answers: dict[str, int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        labels = {name: i for i, name in enumerate(self.label_names)}
        object.__setattr__(self, "labels", labels)
        answers = {normal_answer(name): i for i, name in enumerate(self.answer_names)}
        object.__setattr__(self, "answers", answers)

    def of(self, need: str, sample: Sample) -> Tensor | None:
        """Return a sample's target, or None if it has none."""
        match need:
            case "label" if sample.label is not None:
                return self.label(sample)
            case "number" if isinstance(sample.label, (int, float)):
                return torch.tensor(float(sample.label))
            case "answers" if sample.answers:
                return self.answer(sample)
        return None

    def label(self, sample: Sample) -> Tensor:
        """Return the class index, or a multi-hot vector with ``multi_label``."""
        if not self.multi_label:
            return torch.tensor(self.labels[str(sample.label)])
        names = sample.label if isinstance(sample.label, tuple) else (str(sample.label),)
        target = torch.zeros(len(self.labels), dtype=torch.long)
        target[[self.labels[name] for name in names]] = 1
        return target

    def answer(self, sample: Sample) -> Tensor:
        """Return scores from 0 to 1; unknown answers are dropped."""
        target = torch.zeros(len(self.answer_names))
        for name, score in answer_scores(sample.answers).items():
            if name in self.answers:
                target[self.answers[name]] = score
        return target

    def absent(self, need: str) -> Tensor:
        """Return the placeholder for a missing target: IGNORE_INDEX, or NaN for floats."""
        match need:
            case "number":
                return torch.tensor(math.nan)
            case "answers":
                return torch.full((len(self.answer_names),), math.nan)
        return torch.full((len(self.labels),) if self.multi_label else (), IGNORE_INDEX)
