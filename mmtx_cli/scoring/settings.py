"""The settings of ``mmtx score`` as one typed value."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mmtx_cli.scoring.neural.settings import NeuralSettings


@dataclass(frozen=True)
class ScoreSettings:
    """The keys of ``conf/score.yaml`` that decide what is computed, and how.

    Args:
        references: Files of references; none if the predictions or the ratings contain them.
        predictions: One file of predictions per system; none if the ratings contain the captions.
        split: Split of a manifest of references; None for all rows.
        metrics: Names of the families of metrics, as in ``scoring/families.py``.
        bootstrap: Number of bootstrap resamples of the intervals.
        seed: Seed of everything that is drawn.
        permutations: Number of permutations of the tests between two systems.
        gallery: Number of samples in each part of the page.
        images: Folder that the paths in the references are relative to.
        prediction_columns: Column by field of predictions (``id``, ``caption``, ``image``, …).
        reference_columns: Column by field of references.
        language: Language (ISO 639) of the captions; None to find it from the references.
        tokenizer: Name of the tokenizer; None for that of the language.
        systems: Names of the systems; without any, they are those of the files.
        training: File of training captions, for the share of novel captions.
        training_split: Split of a manifest of training captions; None for all rows.
        ratings: File of human ratings.
        rating_columns: Columns of the ratings; without any, they are recognized by their names.
        neural: Settings of the families with a model.
        meteor_data: Folder of METEOR 1.5; None for that of an installed pycocoevalcap.
    """

    references: tuple[Path, ...]
    predictions: tuple[Path, ...]
    split: str | None
    metrics: tuple[str, ...]
    bootstrap: int
    seed: int
    permutations: int
    gallery: int
    images: Path | None = None
    prediction_columns: Mapping[str, str | int] = field(default_factory=dict)
    reference_columns: Mapping[str, str | int] = field(default_factory=dict)
    language: str | None = None
    tokenizer: str | None = None
    systems: tuple[str, ...] = ()
    training: Path | None = None
    training_split: str | None = None
    ratings: Path | None = None
    rating_columns: tuple[str, ...] = ()
    neural: NeuralSettings = field(default_factory=NeuralSettings)
    meteor_data: Path | None = None
