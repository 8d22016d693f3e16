"""Import of MM-IMDb's multimodal_imdb.hdf5: word2vec and VGG features of movies, with genres.

Source: Arevalo, Solorio, Montes-y-Gómez, González, "Gated multimodal units for information
fusion", ICLR workshop 2017. Every dataset has one row per movie; ``genres`` is multi-hot, with
the names in its attribute ``target_names``; the root's attribute ``split`` is a table with the
start and stop of each split, as written by the library Fuel.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmtx_cli.data.features.formats import dataset, hdf5, internal_dataset, listed, load_hdf5
from mmtx_cli.data.importer.found import Found, staging_of, with_notes
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.errors import DataError
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.regular_file import check_regular
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder

FEATURES = {"text": "features", "image": "vgg_features"}
"""The HDF5 dataset with the features of each modality."""
SPLITS = {"train": "train", "dev": "val", "valid": "val", "val": "val", "test": "test"}
_BLOCK = 1024  # rows read at a time


def read(settings: Settings) -> Found:
    """Return the rows of the HDF5 file, which stays where it is."""
    found = MmImdb(settings["source"])
    rows = with_notes(found.rows(), lambda: found.notes)
    return Found(rows, [str(found.source.parent)], staging_of(settings))


class MmImdb:
    """Rows that reference features in the HDF5 file; nothing is copied."""

    def __init__(self, source: str | Path) -> None:
        """Read genres, ids and splits in a subprocess with limited memory.

        Raises:
            DataError: if h5py is not installed, or the file cannot be read or has another layout.
        """
        self.source = Path(source)
        hdf5(self.source)
        guard = IsolatedDecoder(float("inf"), load_hdf5)
        try:
            content = guard.run(read_content, str(self.source))
        except UnreadableError as error:
            raise DataError(f"{error}; set source= to the HDF5 file") from error
        finally:
            guard.close()
        self.genres, self.names, self.ids, self.splits, self.sound = content

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield one row per movie, split by split, with its location in the file."""
        seen: Counter[str] = Counter()
        for split, indices in self.splits.items():
            for i in indices:
                seen[self.ids[i]] += 1
                suffix = f"#{seen[self.ids[i]]}" if seen[self.ids[i]] > 1 else ""
                features = {
                    name: {"path": str(self.source), "key": key, "row": i}
                    for name, key in FEATURES.items()
                    if self.sound[name][i]
                }
                label = [self.names[k] for k in np.flatnonzero(self.genres[i])]
                row = {"id": f"{self.ids[i]}{suffix}", "split": split, "features": features}
                yield f"{self.source}: row {i}", {**row, "label": label}

    @property
    def notes(self) -> list[str]:
        """Numbers of movies without usable features, by modality."""
        bad = {name: int(np.sum(~finite)) for name, finite in self.sound.items()}
        return [
            f"{count} movies have no {name} features: they contain NaN or infinite values"
            for name, count in bad.items()
            if count
        ]


def read_content(path: str) -> tuple[Any, list[str], list[str], Any, Any]:
    """Return genres (multi-hot), genre names, ids, rows by split, and masks of finite features.

    Raises:
        DataError: if the file does not have the MM-IMDb layout.
        UnreadableError: if the file cannot be read.
    """
    try:
        check_regular(path)
        with hdf5(path).File(path, "r", locking=False) as file:
            return _content(file, path)
    except DataError:
        raise
    except OSError as error:
        raise UnreadableError(path, error.strerror or str(error)) from error
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may raise anything
        what = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: not in MM-IMDb format: {what}") from error


def _content(file: Any, path: str) -> tuple[Any, list[str], list[str], Any, Any]:
    required = ("genres", "imdb_ids", *FEATURES.values())
    if missing := [name for name in required if name not in file]:
        raise DataError(
            f"{path}: no dataset {', '.join(missing)}; available: {listed(file)}; use "
            "multimodal_imdb.hdf5"
        )
    if "split" not in file.attrs:
        raise DataError(f"{path}: no attribute 'split'; use multimodal_imdb.hdf5")
    stored = {name: dataset(file, path, name) for name in required}
    genres = np.asarray(stored["genres"][...]) > 0
    names = names_of(stored["genres"].attrs.get("target_names"), genres.shape[1])
    ids = [text_of(ident) for ident in stored["imdb_ids"][...]]
    splits = split_rows(file, path)
    finite = {name: finite_rows(stored[key]) for name, key in FEATURES.items()}
    for name, rows in (("imdb_ids", ids), *finite.items()):
        if len(rows) != len(genres):
            raise DataError(f"{path}: {len(rows)} rows of {name}, {len(genres)} of genres")
    return genres, names, ids, splits, finite


def names_of(value: Any, count: int) -> list[str]:
    """Return the genre names from JSON or a list of texts; "genre 0", … if there are none."""
    if value is None:
        return [f"genre {i}" for i in range(count)]
    text = text_of(value) if isinstance(value, (str, bytes)) else None
    names = json.loads(text) if text is not None else [text_of(name) for name in value]
    if len(names) != count:
        raise ValueError(f"{len(names)} target_names for {count} genres")
    return [str(name) for name in names]


def split_rows(file: Any, source: str) -> dict[str, list[int]]:
    """Return the rows of each split from Fuel's table, which has ranges or index references."""
    splits: dict[str, list[int]] = {}
    for entry in file.attrs["split"]:
        name, dataset = text_of(entry["split"]), text_of(entry["source"])
        if dataset != "genres" or not scalar(entry["available"]):
            continue
        if name not in SPLITS:
            raise DataError(f"{source}: unknown split {name!r} in the attribute 'split'")
        if entry["indices"]:
            rows = internal_dataset(file[entry["indices"]], source, f"indices of {name}")
            indices = [int(i) for i in rows[...]]
        else:
            indices = list(range(int(scalar(entry["start"])), int(scalar(entry["stop"]))))
        splits.setdefault(SPLITS[name], []).extend(indices)
    size = len(file["genres"])
    if not splits or any(not 0 <= i < size for indices in splits.values() for i in indices):
        raise DataError(f"{source}: the attribute 'split' lists no rows or unknown rows")
    return splits


def finite_rows(dataset: Any) -> Any:
    """Return [n] True where all values of a row are finite; reads in blocks."""
    blocks = [
        np.isfinite(dataset[i : i + _BLOCK]).all(axis=1) for i in range(0, len(dataset), _BLOCK)
    ]
    return np.concatenate(blocks)


def text_of(value: Any) -> str:
    """Decode a text that the file may store as bytes."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def scalar(value: Any) -> Any:
    """Return a number of the split table, which some versions store as an array of one."""
    return np.ravel(value)[0]
