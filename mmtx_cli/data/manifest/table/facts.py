"""Facts about many samples at once: computed by column for a table, by sample for a list."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt64

from mmtx_cli.counter_rng.bits import id_keys
from mmtx_cli.data.manifest.sample import SPLITS, Sample
from mmtx_cli.data.manifest.table.columns import (
    INTEGER,
    NAME,
    NAMES,
    NO_LABEL,
    REAL,
    cells_of,
    list_lengths,
)
from mmtx_cli.data.manifest.table.samples import SampleTable

LABEL = ("label_kind", "label", "label_number")
"""Columns of the labels."""
_FEATURES = "features."
_LARGE = 2**17
"""Rows of a block of columns that are not made into Python objects."""


def present(samples: Sequence[Sample], name: str) -> Bool[np.ndarray, " n"]:
    """Return which samples have a value, which is not empty.

    Args:
        samples: The samples.
        name: A field of ``Sample``, ``number`` for labels that are numbers, or
            ``features.MODALITY``.
    """
    if isinstance(samples, SampleTable):
        columns = {"label": ["label_kind"], "number": ["label_kind"]}.get(
            name, [name.partition(".")[0]]
        )
        blocks = samples.blocks(columns, _LARGE)
        return _joined([_present(batch, name) for batch, _ in blocks], bool)
    return np.fromiter((_has(sample, name) for sample in samples), bool, len(samples))


def _has(sample: Sample, name: str) -> bool:
    if name == "label":
        return sample.label is not None
    if name == "number":
        return isinstance(sample.label, (int, float))
    if name.startswith(_FEATURES):
        return name.removeprefix(_FEATURES) in sample.features
    return bool(getattr(sample, name))


def _present(batch: Any, name: str) -> np.ndarray:
    rows = np.zeros(batch.num_rows, dtype=bool)
    if name in ("label", "number"):
        if "label_kind" not in batch.schema.names:
            return rows
        kinds = batch.column("label_kind").to_numpy()
        return np.isin(kinds, (REAL, INTEGER)) if name == "number" else kinds != NO_LABEL
    if name.startswith(_FEATURES):
        import pyarrow.compute as pc

        if "features" not in batch.schema.names:
            return rows
        column = batch.column("features")
        same = pc.equal(column.flatten(), name.removeprefix(_FEATURES))
        hits = np.flatnonzero(same.to_numpy(zero_copy_only=False))
        owners = np.repeat(np.arange(batch.num_rows), list_lengths(batch, "features"))
        rows[owners[hits]] = True
        return rows
    if name in ("image", "captions", "answers"):
        return list_lengths(batch, name) > 0
    if name not in batch.schema.names:
        return rows
    return batch.column(name).is_valid().to_numpy(zero_copy_only=False)


def _joined(parts: Sequence[np.ndarray], kind: Any) -> np.ndarray:
    return np.concatenate(parts) if parts else np.zeros(0, dtype=kind)


def taken(samples: Sequence[Sample], rows: np.ndarray) -> Sequence[Sample]:
    """Return some of the samples: rows is [n] bool, or [m] indices."""
    if isinstance(samples, SampleTable):
        return samples.take(rows)
    indices = np.flatnonzero(rows) if rows.dtype == bool else rows
    return [samples[i] for i in indices.tolist()]


def of_split(samples: Sequence[Sample], split: str) -> Sequence[Sample]:
    """Return the samples of a split."""
    if isinstance(samples, SampleTable):
        return samples.take(split_codes(samples) == SPLITS.index(split))
    return [sample for sample in samples if sample.split == split]


def split_codes(samples: Sequence[Sample]) -> Int[np.ndarray, " n"]:
    """Return the index in SPLITS of each sample's split."""
    if isinstance(samples, SampleTable):
        blocks = samples.blocks(["split"], _LARGE)
        return _joined([batch.column("split").to_numpy() for batch, _ in blocks], np.uint8).astype(
            int
        )
    return np.array([SPLITS.index(sample.split) for sample in samples], dtype=int)


def split_counts(samples: Sequence[Sample]) -> dict[str, int]:
    """Return the number of samples by split."""
    counts = np.bincount(split_codes(samples), minlength=len(SPLITS)).tolist()
    return dict(zip(SPLITS, counts, strict=True))


def corpus_codes(samples: Sequence[Sample]) -> tuple[list[str], Int[np.ndarray, " n"]]:
    """Return the names of the data sets, and the index of that of each sample."""
    names: dict[str, int] = {}
    if isinstance(samples, SampleTable):
        pairs = [
            (corpus or "", batch.num_rows) for batch, corpus in samples.blocks(["split"], _LARGE)
        ]
        parts = [
            np.full(rows, names.setdefault(corpus, len(names)), np.int16) for corpus, rows in pairs
        ]
        return list(names), _joined(parts, np.int16).astype(int)
    codes = [names.setdefault(sample.corpus, len(names)) for sample in samples]
    return list(names), np.array(codes, dtype=int)


def sample_keys(samples: Sequence[Sample]) -> UInt64[np.ndarray, " n"]:
    """Return the keys of the samples' ids (``counter_rng/bits.py``)."""
    if not isinstance(samples, SampleTable):
        return id_keys(sample.id for sample in samples)
    parts = []
    for batch, corpus in samples.blocks(["id", "key"], _LARGE):
        if corpus is None:
            parts.append(batch.column("key").to_numpy())
        else:
            parts.append(id_keys(f"{corpus}/{ident}" for ident in cells_of(batch, "id")))
    return _joined(parts, np.uint64)


def label_texts(samples: Sequence[Sample]) -> set[str]:
    """Return the distinct labels that are texts, also those among several of a sample."""
    names: set[str] = set()
    if isinstance(samples, SampleTable):
        for batch, _ in samples.blocks(["label_kind", "label"], _LARGE):
            if "label" in batch.schema.names:
                kinds = batch.column("label_kind").to_numpy()
                named = batch.take(_indices(np.isin(kinds, (NAME, NAMES)))).column("label")
                names.update(named.flatten().unique().to_pylist())
        return names
    for sample in samples:
        if isinstance(sample.label, str):
            names.add(sample.label)
        elif isinstance(sample.label, tuple):
            names.update(sample.label)
    return names


def has_label_lists(samples: Sequence[Sample]) -> bool:
    """Return True if any sample has a list of labels."""
    if isinstance(samples, SampleTable):
        return any(
            bool((batch.column("label_kind").to_numpy() == NAMES).any())
            for batch, _ in samples.blocks(["label_kind"], _LARGE)
            if "label_kind" in batch.schema.names
        )
    return any(isinstance(sample.label, tuple) for sample in samples)


def image_counts(samples: Sequence[Sample]) -> Int[np.ndarray, " n"]:
    """Return the number of images of each sample."""
    if isinstance(samples, SampleTable):
        blocks = samples.blocks(["image"], _LARGE)
        return _joined([list_lengths(batch, "image") for batch, _ in blocks], int).astype(int)
    return np.array([len(sample.image) for sample in samples], dtype=int)


def values(
    samples: Sequence[Sample],
    columns: Sequence[str],
    of_sample: Callable[[Sample], Any],
) -> Iterator[Any]:
    """Yield something of each sample, reading only some columns of a table.

    Args:
        samples: The samples.
        columns: The columns that it follows from (``table/columns.py``).
        of_sample: Returns it, given a sample; other fields may be absent.
    """
    if not isinstance(samples, SampleTable):
        yield from map(of_sample, samples)
        return
    yield from map(of_sample, samples.with_columns(columns))


def _indices(rows: np.ndarray) -> Any:
    import pyarrow

    return pyarrow.array(np.flatnonzero(rows))
