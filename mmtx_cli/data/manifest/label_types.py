"""Types of the labels of a data set: class names, or numbers."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from math import isfinite

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.facts import label_texts


def label_names_of(samples: Sequence[Sample]) -> list[str]:
    """Return the text labels of samples, sorted (numerals by value)."""
    names = label_texts(samples)
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


def number_labels(labels: Collection[str]) -> dict[str, float] | None:
    """Return the numbers that text labels mean, or None if they are names.

    They are numbers if all are numeric and they are not just class numbers, that is, if any has a
    decimal point or exponent, or some are finite and others not. A column of integers stays text,
    since classes are often numbered; ``label_type: number`` in the card overrides this.
    """
    numbers = {label: number for label in labels if (number := _number(label)) is not None}
    pointed = any("." in label or "e" in label.lower() for label in labels)
    mixed = len({isfinite(number) for number in numbers.values()}) == 2
    return None if len(numbers) < len(labels) or not (pointed or mixed) else numbers


def with_number_labels(
    samples: Sequence[Sample],
) -> tuple[Sequence[Sample], list[tuple[int, str]]]:
    """Convert text labels to numbers if ``number_labels`` does.

    Returns the samples, and the faults, by line, of labels that are not finite.
    """
    numbers = number_labels({s.label for s in samples if isinstance(s.label, str)})
    if numbers is None:
        return samples, []
    faults = [
        (s.line, not_finite(s.label))
        for s in samples
        if isinstance(s.label, str) and not isfinite(numbers[s.label])
    ]
    return [
        replace(s, label=numbers[s.label]) if isinstance(s.label, str) else s for s in samples
    ], faults


def not_finite(label: str) -> str:
    """Return the fault of a label that is not finite among numbers."""
    return f"label is {label!r} among numbers; use a finite number, or leave it empty"
