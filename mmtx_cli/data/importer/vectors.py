"""Numeric table columns as features: one vector per sample, one file per modality."""

import math
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np

from mmtx_cli.data.manifest.feature_reference import MODALITIES
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.suggest import closest

_LARGEST = float(np.finfo(np.float32).max)


class Vectors:
    """Collects the vectors of all samples and writes them as `MODALITY.npy`, [samples, columns].

    ``columns`` maps each modality to its columns, in order: a list of names, or of patterns such
    as ``mfcc_*``, which expand to the matching columns in the table's order.
    """

    def __init__(self, columns: Mapping[str, Any], folder: Path) -> None:
        """Create the collector; files are written to ``folder``."""
        self.folder = folder
        self.wanted = {
            str(name): [str(part) for part in (parts if isinstance(parts, list) else [parts])]
            for name, parts in columns.items()
        }
        self.chosen: dict[str, list[str]] = {}
        self.found: dict[str, dict[str, list[float]]] = {name: {} for name in self.wanted}

    @property
    def names(self) -> list[str]:
        """All columns used as features."""
        return [name for columns in self.chosen.values() for name in columns]

    def choose(self, path: Path, header: Sequence[str], used: Sequence[str]) -> list[str]:
        """Match the columns to a header, of which ``used`` are taken; return the faults."""
        faults = []
        for modality, patterns in self.wanted.items():
            if modality not in MODALITIES:
                modalities = ", ".join(MODALITIES)
                faults.append(f"features.{modality}: unknown modality; must be one of {modalities}")
            columns: list[str] = []
            for pattern in patterns:
                matches = [pattern] if pattern in header else []
                matches = matches or [
                    n for n in header if n not in used and fnmatchcase(n, pattern)
                ]
                if not matches:
                    near = closest(pattern, header, 0.6)
                    hint = f"did you mean {near!r}?" if near else f"available: {', '.join(header)}"
                    faults.append(
                        f"{path}:1: no column {pattern!r} for features.{modality}; {hint}"
                    )
                columns += [name for name in matches if name not in columns]
            self.chosen[modality] = columns
        return faults

    def add(self, ident: str, cells: Mapping[str, Any]) -> list[str]:
        """Add the vector of a sample from one line; return the faults.

        A modality is missing if all its cells are empty.
        """
        faults: list[str] = []
        for modality, names in self.chosen.items():
            values = [cells.get(name) for name in names]
            if all(value is None or str(value).strip() == "" for value in values):
                continue
            numbers = [_number(value) for value in values]
            invalid = [
                n for n, number in zip(names, numbers, strict=True) if not _is_finite(number)
            ]
            if invalid:
                faults.append(
                    f"column {invalid[0]!r} has {cells.get(invalid[0])!r}, not a finite "
                    "32-bit number; fix "
                    f"the cell, or leave all cells of features.{modality} empty if it is missing"
                )
            elif self.found[modality].setdefault(ident, numbers) != numbers:
                faults.append(f"{ident} has different numbers on an earlier line; make them equal")
        return faults

    def place(self, rows: Mapping[str, dict[str, Any]]) -> None:
        """Write the files, and add feature references to the samples' rows."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for modality, vectors in self.found.items():
            path = self.folder / f"{modality}.npy"
            width = len(self.chosen[modality])
            with atomic_write(path) as temporary, open(temporary, "wb") as file:
                np.save(file, np.array([*vectors.values()], np.float32).reshape(-1, width))
            for number, ident in enumerate(vectors):
                reference = {"path": str(path), "row": number}
                rows[ident].setdefault("features", {})[modality] = reference


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _is_finite(number: float) -> bool:
    """Return True if the number is finite as float32, in which features are stored."""
    return abs(number) <= _LARGEST  # False for NaN
