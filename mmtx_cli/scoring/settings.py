"""The settings of ``mmtx score`` as one typed value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ScoreSettings:
    """The keys of ``conf/score.yaml`` that decide what is computed, and how.

    Args:
        references: Files of references; none if the predictions contain them.
        predictions: One file of predictions per system.
        split: Split of a manifest of references; None for all rows.
        metrics: Names of the families of metrics, as in ``scoring/families.py``.
        bootstrap: Number of bootstrap resamples of the intervals.
        seed: Seed of everything that is drawn.
        images: Folder that the paths in the references are relative to.
        prediction_columns: Column by field of predictions (``id``, ``caption``, ``image``, …).
        reference_columns: Column by field of references.
        language: Language (ISO 639) of the captions; None to find it from the references.
        tokenizer: Name of the tokenizer; None for that of the language.
        meteor_data: Folder of METEOR 1.5; None for that of an installed pycocoevalcap.
    """

    references: tuple[Path, ...]
    predictions: tuple[Path, ...]
    split: str | None
    metrics: tuple[str, ...]
    bootstrap: int
    seed: int
    images: Path | None = None
    prediction_columns: Mapping[str, str | int] = field(default_factory=dict)
    reference_columns: Mapping[str, str | int] = field(default_factory=dict)
    language: str | None = None
    tokenizer: str | None = None
    meteor_data: Path | None = None
