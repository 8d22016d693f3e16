"""Mapping from modalities to manifest columns."""

from typing import Any


def column_of(modality: str, corpus: Any, name: str = "") -> str:
    """Return the manifest column of a modality; ``name`` is the corpus in a mixture."""
    if modality in corpus.preparation.features:
        return f"features.{modality}"
    if modality != "text":
        return modality
    texts = corpus.mixing.texts if corpus.mixing else {}
    return str(texts.get(name, corpus.preparation.text or "text"))


def has_modality(row: Any, modality: str, corpus: Any) -> bool:
    """Return True if a row has a modality, or features of it."""
    if modality in corpus.preparation.features:
        return modality in row.features
    return bool(getattr(row, column_of(modality, corpus, row.corpus)))
