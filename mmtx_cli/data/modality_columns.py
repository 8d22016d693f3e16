"""Which column of a manifest holds a modality, and whether a row has it."""

from typing import Any


def column_of(modality: str, corpus: Any, name: str = "") -> str:
    """Where a manifest, or that of the corpus called ``name``, has a modality."""
    if modality in corpus.preparation.features:
        return f"features.{modality}"
    if modality != "text":
        return modality
    texts = corpus.mixing.texts if corpus.mixing else {}
    return str(texts.get(name, corpus.preparation.text or "text"))


def has_modality(row: Any, modality: str, corpus: Any) -> bool:
    """Does a row have something of a modality, or features of it?"""
    if modality in corpus.preparation.features:
        return modality in row.features
    return bool(getattr(row, column_of(modality, corpus, row.corpus)))
