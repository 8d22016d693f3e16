"""An HDF5 file as MM-IMDb lays it out, small and made up."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

GENRES = ["Drama", "Comedy", "Film-Noir"]
SIZES = {"train": 10, "dev": 4, "test": 6}
WIDTHS = {"features": 5, "vgg_features": 8}


def write(path: Path, **changes: Any) -> str:
    """Write it and return the path.

    ``changes`` are ``genres``, ``nan_rows`` of the text, ``target_names``, ``indices`` (rows of
    each split by reference) and ``without`` (names of datasets).
    """
    h5py = pytest.importorskip("h5py")
    random, num = np.random.default_rng(0), sum(SIZES.values())
    with h5py.File(path, "w") as file:
        for name, width in WIDTHS.items():
            file[name] = random.normal(size=(num, width)).astype(np.float32)
        for row in changes.get("nan_rows", ()):
            file["features"][row] = np.nan
        genres = (file["features"][:, :3] > 0).astype(np.int32)
        genres[:, 0] |= genres[:, 1:].sum(axis=1) == 0
        file["genres"] = genres
        names = changes.get("target_names", str(GENRES).replace("'", '"'))
        if names is not None:
            file["genres"].attrs["target_names"] = names
        file["imdb_ids"] = np.array([f"{i // 2 * 2:07}" for i in range(num)], dtype="S7")
        file["images"] = np.zeros((num, 3, 2, 2), dtype=np.int32)
        file.attrs["split"] = split_table(file, h5py, changes.get("indices"))
        for name in changes.get("without", ()):
            del file[name]
    return str(path)


def split_table(file: Any, h5py: Any, indices: dict[str, list[int]] | None) -> np.ndarray:
    """The table that Fuel writes: an entry for each split and dataset."""
    reference = h5py.special_dtype(ref=h5py.Reference)
    kind = [
        ("split", "S5"), ("source", "S12"), ("start", np.int64), ("stop", np.int64),
        ("indices", reference), ("available", bool), ("comment", "S1"),
    ]  # fmt: skip
    datasets = [*WIDTHS, "genres", "imdb_ids", "images"]
    table = np.empty(len(SIZES) * len(datasets), dtype=kind)
    place = start = 0
    for split, size in SIZES.items():
        rows = h5py.Reference()
        if indices:
            file[f"{split}_rows"] = indices[split]
            rows = file[f"{split}_rows"].ref
        for name in datasets:
            entry = (split.encode(), name.encode(), start, start + size, rows, True, b".")
            table[place] = entry
            place += 1
        start += size
    return table
