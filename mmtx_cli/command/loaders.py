"""The loaders of a training run, once every part of the model has something to learn from."""

from collections.abc import Sequence, Set
from typing import Any

from mmtx_cli.build import usable
from mmtx_cli.data.manifest import are_numbers
from mmtx_cli.error import ConfigError, DataError
from mmtx_cli.training.data import TrainingData
from mmtx_cli.types import FUSED


def training_data(model: Any, corpus: Any, seed: int, round_to: int) -> Any:
    """Loaders of the samples that have what the heads need."""
    heads = model.head.values()
    refuse_unread(model, {name for head in heads for name in head.reads})
    needs = sorted({need for head in heads for need in head.needs})
    rows, val_rows = (
        usable(corpus.rows(split), needs, corpus.manifest) for split in ("train", "val")
    )
    if not rows:
        raise DataError(f"{corpus.manifest.path}: no row has split=train")
    if any(head.ordered for head in heads):
        refuse_unordered(corpus)
    modalities = list(model.encoder)
    refuse_lacking(modalities, rows, corpus)
    teachers = kept_teachers(model, corpus)
    train = corpus.samples(rows, modalities, needs, True, seed, teachers)
    val = corpus.samples(val_rows, modalities, needs, teachers=teachers) if val_rows else None
    return TrainingData(train, val, corpus.settings, seed, round_to)


def kept_teachers(model: Any, corpus: Any) -> list[str]:
    """The teachers that need not be run, since the cache holds what they say; their heads know."""
    found = []
    for name, head in model.head.items():
        part = f"head.{name}.teacher"
        if getattr(head, "teachers", ()) and corpus.cache and part in corpus.cache.parts:
            head.kept = part
            found.append(part)
    return found


def refuse_unordered(corpus: Any) -> None:
    """Names in alphabetical order are no scale: the card says which class is above which."""
    if corpus.manifest.card.label_names is None and not are_numbers(corpus.label_names):
        names = ", ".join(corpus.label_names)
        raise DataError(
            f"{corpus.manifest.path}: head=ordinal needs the order of the classes {names}; list "
            "them under label_names in the dataset card, lowest first"
        )


def refuse_lacking(modalities: Sequence[str], rows: Sequence[Any], corpus: Any) -> None:
    """An encoder that no training sample has anything for would stay as it began."""
    column = {"text": corpus.preparation.text or "text"}
    column |= {name: f"features.{name}" for name in corpus.preparation.features}
    faults = [
        f"{corpus.manifest.path}: no training row has {column.get(name, name)}, which "
        f"encoder.{name} reads; leave it out: encoder.{name}=null"
        for name in modalities
        if not any(has(row, column.get(name, name)) for row in rows)
    ]
    if faults:
        raise DataError(*faults)


def has(row: Any, column: str) -> bool:
    """Does a row have something in a column, or features of a modality?"""
    name, _, modality = column.partition(".")
    return modality in row.features if modality else bool(getattr(row, name))


def refuse_unread(model: Any, read: Set[str]) -> None:
    """What no head reads is not trained: time lost, and several devices would wait for it."""
    if FUSED in read:
        return
    faults = [
        f"encoder.{name}: no head reads it; leave it out: encoder.{name}=null"
        for name in model.encoder
        if name not in read
    ]
    if FUSED in model.fusion.streams:
        faults.append("fusion: no head reads what it makes; write fusion=decision")
    if faults:
        raise ConfigError(*faults)
