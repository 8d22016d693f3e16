"""The settings of ``mmtx score`` as one typed value."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ScoreSettings:
    """The keys of ``conf/score.yaml`` that decide what is computed, and how.

    Args:
        references: File of references.
        predictions: One file of predictions per system.
        split: Split of a manifest of references; None for all rows.
        metrics: Names of the families of metrics, as in ``scoring/families.py``.
        bootstrap: Number of bootstrap resamples of the intervals.
        seed: Seed of everything that is drawn.
    """

    references: Path
    predictions: tuple[Path, ...]
    split: str | None
    metrics: tuple[str, ...]
    bootstrap: int
    seed: int
