"""MM-IMDb's multimodal_imdb.hdf5: word2vec and VGG features of films, with their genres.

Source: Arevalo, Solorio, Montes-y-Gómez, González, "Gated multimodal units for information
fusion", ICLR workshop 2017. Every dataset has a row a film; ``genres`` is multi-hot, with its
names in the attribute ``target_names``; the root's attribute ``split`` is a table of where each
split begins and ends, as the library Fuel writes it.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mmtx_cli.data.features.formats import dataset, hdf5, held, listed, load_hdf5
from mmtx_cli.errors import DataError
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.regular_file import check_regular
from mmtx_cli.media.worker.isolated_decoder import Guard

FEATURES = {"text": "features", "image": "vgg_features"}
"""Our modalities, and the datasets of their features."""
SPLITS = {"train": "train", "dev": "val", "valid": "val", "val": "val", "test": "test"}
_BLOCK = 1024  # rows looked at at once


class MmImdb:
    """The rows of the file, which refer to it: nothing is copied."""

    def __init__(self, source: str | Path) -> None:
        """Read what is beside the features, in a process of limited memory.

        Raises:
            DataError: if h5py is not installed, or the file is not of that layout.
        """
        self.source = Path(source)
        hdf5(self.source)
        guard = Guard(float("inf"), load_hdf5)
        try:
            content = guard.run(read_content, str(self.source))
        except UnreadableError as error:
            raise DataError(f"{error}; source= names the HDF5 file") from error
        finally:
            guard.close()
        self.genres, self.names, self.ids, self.splits, self.sound = content

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield a row a film, split by split, with its place in the file."""
        seen: Counter[str] = Counter()
        for split, places in self.splits.items():
            for i in places:
                seen[self.ids[i]] += 1
                again = f"#{seen[self.ids[i]]}" if seen[self.ids[i]] > 1 else ""
                features = {
                    name: {"path": str(self.source), "key": key, "row": i}
                    for name, key in FEATURES.items()
                    if self.sound[name][i]
                }
                label = [self.names[k] for k in np.flatnonzero(self.genres[i])]
                row = {"id": f"{self.ids[i]}{again}", "split": split, "features": features}
                yield f"{self.source}: row {i}", {**row, "label": label}

    @property
    def notes(self) -> list[str]:
        """What films lack."""
        bad = {name: int(np.sum(~sound)) for name, sound in self.sound.items()}
        return [
            f"{count} films have no features of {name}: they hold NaN or infinite numbers"
            for name, count in bad.items()
            if count
        ]


def read_content(path: str) -> tuple[Any, list[str], list[str], Any, Any]:
    """Genres (multi-hot) with their names, ids, rows by split, and which features are finite.

    Raises:
        DataError: if the file is not of that layout, or cannot be read.
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
    except Exception as error:  # whatever a damaged file leads to
        what = f"{type(error).__name__}: {error}"
        raise DataError(f"{path}: not the layout of MM-IMDb: {what}") from error


def _content(file: Any, path: str) -> tuple[Any, list[str], list[str], Any, Any]:
    wanted = ("genres", "imdb_ids", *FEATURES.values())
    if missing := [name for name in wanted if name not in file]:
        raise DataError(
            f"{path}: no dataset {', '.join(missing)}; it has {listed(file)}; give "
            "multimodal_imdb.hdf5"
        )
    if "split" not in file.attrs:
        raise DataError(f"{path}: no attribute split; give multimodal_imdb.hdf5")
    stored = {name: dataset(file, path, name) for name in wanted}
    genres = np.asarray(stored["genres"][...]) > 0
    names = names_of(stored["genres"].attrs.get("target_names"), genres.shape[1])
    ids = [text_of(ident) for ident in stored["imdb_ids"][...]]
    splits = split_rows(file, path)
    sound = {name: finite_rows(stored[key]) for name, key in FEATURES.items()}
    for name, rows in (("imdb_ids", ids), *sound.items()):
        if len(rows) != len(genres):
            raise DataError(f"{path}: {len(rows)} rows of {name}, {len(genres)} of genres")
    return genres, names, ids, splits, sound


def names_of(value: Any, count: int) -> list[str]:
    """Names of the genres: JSON, or a list of texts; numbered where there are none."""
    if value is None:
        return [f"genre {i}" for i in range(count)]
    plain = text_of(value) if isinstance(value, (str, bytes)) else None
    names = json.loads(plain) if plain is not None else [text_of(name) for name in value]
    if len(names) != count:
        raise ValueError(f"{len(names)} target_names for {count} genres")
    return [str(name) for name in names]


def split_rows(file: Any, source: str) -> dict[str, list[int]]:
    """Rows of each split, of Fuel's table: begin and end, or a reference to row numbers."""
    splits: dict[str, list[int]] = {}
    for entry in file.attrs["split"]:
        name, dataset = text_of(entry["split"]), text_of(entry["source"])
        if dataset != "genres" or not first(entry["available"]):
            continue
        if name not in SPLITS:
            raise DataError(f"{source}: unknown split {name!r} in the attribute split")
        if entry["indices"]:
            rows = held(file[entry["indices"]], source, f"indices of {name}")
            places = [int(i) for i in rows[...]]
        else:
            places = list(range(int(first(entry["start"])), int(first(entry["stop"]))))
        splits.setdefault(SPLITS[name], []).extend(places)
    size = len(file["genres"])
    if not splits or any(not 0 <= i < size for places in splits.values() for i in places):
        raise DataError(f"{source}: the attribute split names no rows, or some that are not there")
    return splits


def finite_rows(dataset: Any) -> Any:
    """[n] True where every number of a row is finite; read in blocks."""
    blocks = [
        np.isfinite(dataset[i : i + _BLOCK]).all(axis=1) for i in range(0, len(dataset), _BLOCK)
    ]
    return np.concatenate(blocks)


def text_of(value: Any) -> str:
    """A text that the file stores as bytes, or as such."""
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def first(value: Any) -> Any:
    """A number of a table, which some versions wrote as an array of one."""
    return np.ravel(value)[0]
