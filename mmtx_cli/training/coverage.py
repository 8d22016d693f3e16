"""Data module of a training run, after checking that every part of the model can be trained."""

from collections.abc import Mapping, Sequence, Set
from typing import Any

import numpy as np
from jaxtyping import Bool

from mmtx_cli.config.cross_checks import class_attribute
from mmtx_cli.data.corpus import rows_with_targets, usable
from mmtx_cli.data.manifest.label_types import are_numbers
from mmtx_cli.data.manifest.table.facts import corpus_codes, taken
from mmtx_cli.data.modality_columns import column_of, with_modality
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.training.context_budget import check_context_budget
from mmtx_cli.training.datamodule import TrainingData
from mmtx_cli.types import FUSED


def training_data(model: Any, corpus: Any, seed: int, round_to: int) -> Any:
    """Return the data module with the samples that have targets for the heads.

    Args:
        model: The model.
        corpus: The data.
        seed: Seed of shuffling and augmentation.
        round_to: Lengths of token sequences are padded to a multiple of this.

    Raises:
        DataError: if a head has no training rows.
        ConfigError: if an encoder or the fusion is not read by any head.
    """
    heads = model.head.values()
    check_modules_used(model, {name for head in heads for name in head.streams})
    needs = sorted({need for head in heads for need in head.targets})
    rows, val_rows = (trainable_rows(model, corpus, split) for split in ("train", "val"))
    if any(head.traits.ordinal for head in heads):
        check_classes_ordered(corpus)
    modalities = list(model.encoder)
    check_heads_have_targets(model, rows, corpus)
    teachers = cached_teachers(model, corpus)
    train = corpus.samples(rows, modalities, needs, True, seed, teachers)
    check_context_budget(model, train, corpus)
    val = corpus.samples(val_rows, modalities, needs, teachers=teachers) if len(val_rows) else None
    return TrainingData(train, val, corpus.settings, seed, round_to)


def cached_teachers(model: Any, corpus: Any) -> list[str]:
    """Return the teachers whose outputs are cached, and make their heads use the cache."""
    found = []
    for name, head in model.head.items():
        part = f"head.{name}.teacher"
        if (
            hasattr(head, "cached_target")
            and head.teacher
            and corpus.cache
            and part in corpus.cache.parts
        ):
            head.cached_target = part
            found.append(part)
    return found


def trainable_rows(model: Any, corpus: Any, split: str) -> Sequence[Any]:
    """Return the samples with targets for all heads; of a mixture, those with targets for any head.

    Raises DataError if there are none, or if a dataset of the mixture has none for training.
    """
    rows = corpus.rows(split)
    if corpus.mixing is None:
        needs = sorted({need for head in model.head.values() for need in head.targets})
        return usable(rows, needs, corpus.manifest)
    heads = model.head.items()
    has = np.zeros(len(rows), dtype=bool)
    for name, head in heads:
        has |= has_targets(rows, name, head, corpus)
    kept = taken(rows, has)
    names, codes = corpus_codes(kept)
    with_targets = {names[code] for code in np.unique(codes).tolist()}
    faults = [
        f"{corpus.manifest.parts[name].path}: no row of split=train has targets for any head of "
        f"this dataset ({', '.join(n for n, _ in heads if corpus.mixing.trains_on(n, name))}); "
        "change its heads or its text in data.mixture, or remove it"
        for name in corpus.mixing.names
        if name not in with_targets
    ]
    if split == "train" and faults:
        raise DataError(*faults)
    return kept


def has_targets(rows: Sequence[Any], name: str, head: Any, corpus: Any) -> Bool[np.ndarray, " n"]:
    """Return which of the samples have everything that a head needs to learn from them.

    Args:
        rows: The samples.
        name: Name of the head.
        head: The head.
        corpus: The data.
    """
    has = corpus.trained_rows(name, rows) & rows_with_targets(rows, head.targets)
    groups = [head.required_modalities] if head.required_modalities else head.pairs or [()]
    has_group = np.zeros(len(rows), dtype=bool)
    for group in groups:
        has_all = np.ones(len(rows), dtype=bool)
        for modality in group:
            has_all &= with_modality(rows, modality, corpus)
        has_group |= has_all
    return has & has_group


def check_heads_have_targets(model: Any, rows: Sequence[Any], corpus: Any) -> None:
    """Raise DataError if a head, or a pair of modalities to align, has no training rows."""
    faults = []
    for name, head in model.head.items():
        is_trained = corpus.trained_rows(name, rows)
        for a, b in head.pairs:
            has_both = with_modality(rows, a, corpus) & with_modality(rows, b, corpus)
            if not (is_trained & has_both).any():
                faults.append(
                    f"head.{name}: none of its training rows has both {a} and {b}; add such rows, "
                    f"or set head.{name}.pairs without this pair"
                )
        if not head.pairs and not has_targets(rows, name, head, corpus).any():
            missing = " and ".join(head.required_modalities)
            faults.append(f"head.{name}: none of its training rows has {missing}")
    if faults:
        raise DataError(*faults)


def check_classes_ordered(corpus: Any) -> None:
    """Raise DataError if the order of the classes is unknown.

    Class names need ``label_names`` in the dataset card; numeric labels are ordered by value.
    """
    if corpus.manifest.card.label_names is None and not are_numbers(corpus.label_names):
        names = ", ".join(corpus.label_names)
        raise DataError(
            f"{corpus.manifest.path}: head=ordinal needs the order of the classes {names}; list "
            "them under label_names in the dataset card, lowest first"
        )


def check_modalities_occur(encoders: Mapping[str, Any], corpus: Any) -> None:
    """Raise DataError if no training row has a modality that an encoder reads.

    Of the modalities that a published model can read, one suffices.
    """
    rows, read = corpus.rows("train"), [name for name, node in encoders.items() if node]
    if not len(rows):
        raise DataError(f"{corpus.manifest.path}: no rows with split=train")
    faults = [
        f"{corpus.manifest.path}: no training row has {column_of(name, corpus)}, which "
        f"encoder.{name} reads; disable it: encoder.{name}=null"
        for name in read
        if not with_modality(rows, name, corpus).any()
    ]
    is_optional = all(class_attribute(encoders[name], "is_placeholder") for name in read)
    if faults and not (is_optional and len(faults) < len(read)):
        raise DataError(*faults)


def check_modules_used(model: Any, read: Set[str]) -> None:
    """Raise ConfigError if an encoder or the fusion is not read by any head.

    It would get no gradient, which wastes time and stalls training on several devices.
    """
    if FUSED in read:
        return
    faults = [
        f"encoder.{name}: not used by any head; disable it: encoder.{name}=null"
        for name in model.encoder
        if name not in read
    ]
    if FUSED in model.fusion.streams:
        faults.append("fusion: no head reads the fused stream; set fusion=decision")
    if faults:
        raise ConfigError(*faults)
