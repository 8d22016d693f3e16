"""A feature file as MMSA lays it out, small and made up."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

WIDTHS = {"text": 6, "audio": 4, "vision": 3}
STEPS = {"text": 5, "audio": 9, "vision": 8}
SIZES = {"train": 12, "valid": 4, "test": 6}


def split(random: np.random.Generator, split: str, num: int, aligned: bool) -> dict[str, Any]:
    """Features padded with zeros behind (aligned ones also in front), texts and labels."""
    fields: dict[str, Any] = {}
    lengths = {}
    shared = random.integers(2, 5, num)
    for name, width in WIDTHS.items():
        steps = 7 if aligned else STEPS[name]
        lengths[name] = shared if aligned else random.integers(1, steps + 1, num)
        x = random.normal(size=(num, steps, width)).astype(np.float32)
        first = 1 if aligned else 0
        for i, length in enumerate(lengths[name]):
            x[i, :first] = x[i, first + length :] = 0
        fields[name] = x
    labels = np.round(fields["text"].sum(axis=(1, 2)) / 10, 1).astype(np.float32)
    fields |= {
        "id": [f"{split}{i // 2}$_${i % 2}" for i in range(num)],
        "raw_text": np.array([f"clip {i} of {split}" for i in range(num)]),
        "regression_labels": labels,
        "annotations": ["Positive" if label > 0 else "Negative" for label in labels],
        "classification_labels": (labels > 0).astype(np.int64),
    }
    if not aligned:
        fields |= {f"{name}_lengths": lengths[name].tolist() for name in ("audio", "vision")}
    return fields


def mmsa(aligned: bool = False, seed: int = 0) -> dict[str, dict[str, Any]]:
    """The content of a file."""
    random = np.random.default_rng(seed)
    return {name: split(random, name, num, aligned) for name, num in SIZES.items()}


def write(path: Path, content: Any, protocol: int = 4) -> str:
    """Pickle it as MMSA does, and return the path."""
    path.write_bytes(pickle.dumps(content, protocol))
    return str(path)
