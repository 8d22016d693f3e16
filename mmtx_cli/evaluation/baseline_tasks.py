"""Baseline predictions for each kind of target, and their scores.

A baseline is named after its method. ``constant`` baselines use only the targets of the training
rows; ``learned`` ones use features. The nearest neighbor's caption follows Devlin et al. 2015
("Exploring nearest neighbor approaches"), the most frequent answer to a question Goyal et al. 2017.
"""

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.targets import Targets
from mmtx_cli.data.text.vqa_answers import answer_metrics, answer_names, answer_scores
from mmtx_cli.evaluation.baseline_features import Features
from mmtx_cli.metric.caption import caption_scores
from mmtx_cli.metric.classification import classification_scores, multilabel_scores
from mmtx_cli.metric.diversity import normalized
from mmtx_cli.metric.knn import (
    nearest_neighbors,
    neighbor_classifier,
    neighbor_means,
    neighbor_regression,
)
from mmtx_cli.metric.linear_probe import linear_classifier, linear_multilabel, linear_regression
from mmtx_cli.metric.ordinal import ordinal_scores
from mmtx_cli.metric.regression import regression_scores
from mmtx_cli.metric.scores import Scores

K = 20
"""Number of voting neighbors, as for ``head=probe``."""

NEIGHBORS = f"{K} nearest neighbors"


class Task(ABC):
    """Base class of the baselines for one kind of target."""

    @abstractmethod
    def constant(self, train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any]:
        """Return predictions for ``test`` that use no images, video or audio, by name."""

    @abstractmethod
    def learned(self, features: Features) -> dict[str, Any]:
        """Return predictions from features, by name."""

    @abstractmethod
    def score(self, predicted: Any, test: Sequence[Sample]) -> Scores:
        """Return metrics with the same names as the head's own."""


@dataclass(frozen=True)
class Classes(Task):
    """One class per sample; predictions are probabilities [m, c]."""

    targets: Targets
    ordered: bool

    def labels(self, rows: Sequence[Sample]) -> Tensor:
        """Return the class indices."""
        return torch.tensor([self.targets.labels[str(row.label)] for row in rows])

    def constant(self, train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any]:
        """Return the most frequent class; for ordered classes also the median."""
        labels, count = self.labels(train), len(self.targets.labels)
        shares = torch.bincount(labels, minlength=count) / len(labels)
        found = {"most frequent class": shares}
        if self.ordered:
            middle = labels.sort().values[(len(labels) - 1) // 2]
            found["median class"] = torch.eye(count)[middle]
        return {name: p.expand(len(test), -1).numpy() for name, p in found.items()}

    def learned(self, features: Features) -> dict[str, Any]:
        """Return k-nearest-neighbor and logistic regression predictions."""
        labels, count = self.labels(features.train), len(self.targets.labels)
        (x, x_test), (train_unit, test_unit) = features.plain(), features.unit()
        return {
            NEIGHBORS: neighbor_classifier(train_unit, labels, count, test_unit, K).numpy(),
            "logistic regression": linear_classifier(x, labels, count, x_test).numpy(),
        }

    def score(self, predicted: Any, test: Sequence[Sample]) -> Scores:
        """Return accuracy and F1; for ordered classes the ordinal metrics."""
        labels = self.labels(test).numpy()
        if self.ordered:
            return ordinal_scores(predicted.argmax(axis=1), labels, predicted.shape[1])
        return classification_scores(predicted, labels)


@dataclass(frozen=True)
class LabelSets(Task):
    """Any number of labels per sample; predictions are probabilities [m, c]."""

    targets: Targets

    def sets(self, rows: Sequence[Sample]) -> Tensor:
        """Return the targets as zeros and ones, [n, c]."""
        return torch.stack([self.targets.label(row) for row in rows]).float()

    def constant(self, train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any]:
        """Return the same labels for every sample: those with the best micro F1 on the training
        rows.
        """
        found = best_label_set(self.sets(train).sum(dim=0), len(train))
        return {"most frequent labels": found.expand(len(test), -1).numpy()}

    def learned(self, features: Features) -> dict[str, Any]:
        """Return k-nearest-neighbor and logistic regression predictions for each label."""
        y, (x, x_test), (train_unit, test_unit) = (
            self.sets(features.train),
            features.plain(),
            features.unit(),
        )
        return {
            NEIGHBORS: neighbor_means(train_unit, y, test_unit, K).numpy(),
            "logistic regression": linear_multilabel(x, y, x_test).numpy(),
        }

    def score(self, predicted: Any, test: Sequence[Sample]) -> Scores:
        """Return F1 and exact match."""
        return multilabel_scores(predicted, self.sets(test).bool().numpy())


def best_label_set(counts: Tensor, rows: int) -> Tensor:
    """Return the labels [c], 0 or 1, with the best micro F1 if every row gets them.

    The optimum always consists of the most frequent labels; ``counts`` [c] are their frequencies.
    """
    order = counts.argsort(descending=True, stable=True)
    matched = counts[order].cumsum(dim=0)
    denominator = rows * torch.arange(1, len(counts) + 1) + counts.sum()
    chosen = order[: int((2 * matched / denominator).argmax()) + 1]
    return torch.zeros(len(counts)).index_fill(0, chosen, 1.0)


@dataclass(frozen=True)
class Numbers(Task):
    """One number per sample; predictions are [m]."""

    def numbers(self, rows: Sequence[Sample]) -> list[float]:
        """Return the labels as floats."""
        return [float(row.label) for row in rows]  # type: ignore[arg-type]

    def constant(self, train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any]:
        """Return the mean, which minimizes the squared error, and the median, which minimizes the
        absolute error.
        """
        numbers = self.numbers(train)
        found = {"mean": fmean(numbers), "median": median(numbers)}
        return {name: np.full(len(test), number) for name, number in found.items()}

    def learned(self, features: Features) -> dict[str, Any]:
        """Return k-nearest-neighbor and ridge regression predictions."""
        y = torch.tensor(self.numbers(features.train))
        (x, x_test), (train_unit, test_unit) = features.plain(), features.unit()
        return {
            NEIGHBORS: neighbor_regression(train_unit, y, test_unit, K).numpy(),
            "ridge regression": linear_regression(x, y, x_test).numpy(),
        }

    def score(self, predicted: Any, test: Sequence[Sample]) -> Scores:
        """Return regression errors and correlation."""
        return regression_scores(predicted, np.array(self.numbers(test)))


@dataclass(frozen=True)
class Answers(Task):
    """An answer to a question; predictions are m texts."""

    def constant(self, train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any]:
        """Return the most frequent answer, overall and in training rows with the same question."""
        (common,) = answer_names((row.answers for row in train), 1)
        by_question: dict[str, list[dict[str, float]]] = defaultdict(list)
        for row in train:
            by_question[normalized(row.text or "")].append(row.answers)
        most_frequent = {
            question: answer_names(answers, 1)[0] for question, answers in by_question.items()
        }
        found = {"most frequent answer": [common] * len(test)}
        if len(most_frequent) > 1:
            found["most frequent answer to the question"] = [
                most_frequent.get(normalized(row.text or ""), common) for row in test
            ]
        return found

    def learned(self, features: Features) -> dict[str, Any]:
        """Return the answer with the highest weighted mean VQA score among the neighbors."""
        scores = [answer_scores(row.answers) for row in features.train]
        names = sorted({name for row_scores in scores for name in row_scores})
        number = {name: i for i, name in enumerate(names)}
        values = torch.zeros(len(scores), len(names))
        for row, row_scores in zip(values, scores, strict=True):
            for name, score in row_scores.items():
                row[number[name]] = score
        train_unit, test_unit = features.unit()
        best = neighbor_means(train_unit, values, test_unit, K).argmax(dim=1).tolist()
        return {NEIGHBORS: [names[i] for i in best]}

    def score(self, predicted: Any, test: Sequence[Sample]) -> Scores:
        """Return VQA accuracy and exact match."""
        return Scores.means(answer_metrics(predicted, [row.answers for row in test]))


@dataclass(frozen=True)
class Captions(Task):
    """A caption; predictions are m texts."""

    def constant(self, train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, Any]:
        """Return the most frequent training caption."""
        common = Counter(caption for row in train for caption in row.captions)
        return {"most frequent caption": [common.most_common(1)[0][0]] * len(test)}

    def learned(self, features: Features) -> dict[str, Any]:
        """Return the first caption of the training row with the nearest features."""
        _, rows = nearest_neighbors(*features.unit(), 1)
        captions = [features.train[i].captions[0] for i in rows[:, 0].tolist()]
        return {"nearest neighbor": captions}

    def score(self, predicted: Any, test: Sequence[Sample]) -> Scores:
        """Return BLEU, ROUGE-L and CIDEr-D."""
        ids, references = [row.id for row in test], [list(row.captions) for row in test]
        return caption_scores(ids, predicted, references)
