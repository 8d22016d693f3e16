"""Types of the labels of a data set: class names, or numbers."""

from collections.abc import Iterable
from dataclasses import replace
from math import isfinite

from mmtx_cli.data.manifest.sample import Sample


def label_names_of(samples: Iterable[Sample]) -> list[str]:
    """Return the text labels of samples, sorted (numerals by value)."""
    names: set[str] = set()
    for sample in samples:
        if isinstance(sample.label, str):
            names.add(sample.label)
        elif isinstance(sample.label, tuple):
            names.update(sample.label)
    return sorted(names, key=float) if are_numbers(names) else sorted(names)


def are_numbers(names: Iterable[str]) -> bool:
    """Return True if the names are numerals of distinct finite numbers."""
    try:
        numbers = [float(name) for name in names]
    except ValueError:
        return False
    return len(set(numbers)) == len(numbers) and all(map(isfinite, numbers))


def _number(label: str) -> float | None:
    try:
        return float(label)
    except ValueError:
        return None


def with_number_labels(samples: list[Sample]) -> tuple[list[Sample], list[tuple[int, str]]]:
    """Convert text labels to numbers if all are numeric and they are not just class numbers.

    That is, if any has a decimal point or exponent, or some are finite and others not. A column
    of integers stays text, since classes are often numbered; ``label_type: number`` in the card
    overrides this. Returns the samples, and the faults, by line, of labels that are not finite.
    """
    labels = {sample.label for sample in samples if isinstance(sample.label, str)}
    numbers = {label: number for label in labels if (number := _number(label)) is not None}
    pointed = any("." in label or "e" in label.lower() for label in labels)
    mixed = len({isfinite(number) for number in numbers.values()}) == 2
    if len(numbers) < len(labels) or not (pointed or mixed):
        return samples, []
    faults = [
        (s.line, f"label is {s.label!r} among numbers; use a finite number, or leave it empty")
        for s in samples
        if isinstance(s.label, str) and not isfinite(numbers[s.label])
    ]
    return [
        replace(s, label=numbers[s.label]) if isinstance(s.label, str) else s for s in samples
    ], faults
