"""Mapping from modalities to manifest columns."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.facts import corpus_codes, present


def column_of(modality: str, corpus: Any, name: str = "") -> str:
    """Return the manifest column of a modality; ``name`` is the corpus in a mixture."""
    if modality in corpus.preparation.features:
        return f"features.{modality}"
    if modality != "text":
        return modality
    texts = corpus.mixing.texts if corpus.mixing else {}
    return str(texts.get(name, corpus.preparation.text or "text"))


def with_modality(rows: Sequence[Sample], modality: str, corpus: Any) -> Bool[np.ndarray, " n"]:
    """Return which of the rows have a modality, or features of it."""
    names, codes = [""], np.zeros(len(rows), dtype=int)
    if corpus.mixing is not None:
        names, codes = corpus_codes(rows)
    has = np.zeros(len(rows), dtype=bool)
    for i, name in enumerate(names):
        has |= (codes == i) & present(rows, column_of(modality, corpus, name))
    return has


def with_input(
    samples: Sequence[Sample], modality: str, features: Collection[str]
) -> Bool[np.ndarray, " n"]:
    """Return which samples have files of a modality, or features if it is read as ``features``.

    Text is always included, since it is read from the manifest.
    """
    if modality in features:
        return present(samples, f"features.{modality}")
    if modality == "text":
        return np.ones(len(samples), dtype=bool)
    return present(samples, modality)
