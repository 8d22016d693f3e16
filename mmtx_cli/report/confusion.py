"""Confusion matrix as a table for the report."""

from collections import Counter
from dataclasses import dataclass

MAX_CLASSES = 30


@dataclass(frozen=True)
class Cell:
    """Samples of one label with one prediction; ``share`` is their fraction of the label."""

    count: int
    share: float
    hit: bool


@dataclass(frozen=True)
class ConfusionRow:
    """One label: its number of samples, their predictions, and its recall."""

    label: str
    count: int
    cells: list[Cell]
    recall: float | None


@dataclass(frozen=True)
class Confusion:
    """Rows are labels, columns predictions, both in the order of ``classes``."""

    classes: list[str]
    rows: list[ConfusionRow]


def confusion(pairs: list[tuple[str, str]], max_classes: int = MAX_CLASSES) -> Confusion | None:
    """Count (label, prediction) pairs; None for fewer than two or more than ``max_classes``."""
    classes = sorted({name for pair in pairs for name in pair}, key=_natural)
    if not 2 <= len(classes) <= max_classes:
        return None
    counts = Counter(pairs)
    return Confusion(classes, [_row(label, classes, counts) for label in classes])


def _row(label: str, classes: list[str], counts: Counter[tuple[str, str]]) -> ConfusionRow:
    total = sum(counts[label, name] for name in classes)
    cells = [
        Cell(counts[label, name], counts[label, name] / max(1, total), name == label)
        for name in classes
    ]
    return ConfusionRow(label, total, cells, counts[label, label] / total if total else None)


def _natural(name: str) -> tuple[bool, int, str]:
    """Sort key: numbers by value, then words by letter, so that 2 comes before 10."""
    return (not name.isdecimal(), int(name) if name.isdecimal() else 0, name)
