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

from mmtx_cli.data.feature_file import hdf5
from mmtx_cli.error import DataError

FEATURES = {"text": "features", "image": "vgg_features"}
"""Our modalities, and the datasets of their features."""
SPLITS = {"train": "train", "dev": "val", "valid": "val", "val": "val", "test": "test"}
_BLOCK = 1024  # rows looked at at once


class MmImdb:
    """The rows of the file, which refer to it: nothing is copied."""

    def __init__(self, source: str | Path) -> None:
        """Read what is beside the features.

        Raises:
            DataError: if h5py is not installed, or the file is not of that layout.
        """
        self.source = Path(source)
        h5py = hdf5(self.source)
        try:
            with h5py.File(self.source, "r", locking=False) as file:
                self._read(file)
        except DataError:
            raise
        except OSError as error:
            said = error.strerror or error
            raise DataError(f"{self.source}: {said}; source= names the HDF5 file") from error
        except Exception as error:  # whatever a damaged file leads to
            what = f"{type(error).__name__}: {error}"
            raise DataError(f"{self.source}: not the layout of MM-IMDb: {what}") from error

    def _read(self, file: Any) -> None:
        wanted = ("genres", "imdb_ids", *FEATURES.values())
        if missing := [name for name in wanted if name not in file]:
            raise DataError(
                f"{self.source}: no dataset {', '.join(missing)}; it has {', '.join(file)}; give "
                "multimodal_imdb.hdf5"
            )
        if "split" not in file.attrs:
            raise DataError(f"{self.source}: no attribute split; give multimodal_imdb.hdf5")
        self.genres = np.asarray(file["genres"][...]) > 0
        self.names = names_of(file["genres"].attrs.get("target_names"), self.genres.shape[1])
        self.ids = [text_of(ident) for ident in file["imdb_ids"][...]]
        self.splits = split_rows(file, self.source)
        self.sound = {name: finite_rows(file[key]) for name, key in FEATURES.items()}
        for name, rows in (("imdb_ids", self.ids), *self.sound.items()):
            if len(rows) != len(self.genres):
                raise DataError(
                    f"{self.source}: {len(rows)} rows of {name}, {len(self.genres)} of genres"
                )

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


def names_of(value: Any, count: int) -> list[str]:
    """Names of the genres: JSON, or a list of texts; numbered where there are none."""
    if value is None:
        return [f"genre {i}" for i in range(count)]
    plain = text_of(value) if isinstance(value, (str, bytes)) else None
    names = json.loads(plain) if plain is not None else [text_of(name) for name in value]
    if len(names) != count:
        raise ValueError(f"{len(names)} target_names for {count} genres")
    return [str(name) for name in names]


def split_rows(file: Any, source: Path) -> dict[str, list[int]]:
    """Rows of each split, of Fuel's table: begin and end, or a reference to row numbers."""
    splits: dict[str, list[int]] = {}
    for entry in file.attrs["split"]:
        name, dataset = text_of(entry["split"]), text_of(entry["source"])
        if dataset != "genres" or not first(entry["available"]):
            continue
        if name not in SPLITS:
            raise DataError(f"{source}: unknown split {name!r} in the attribute split")
        if entry["indices"]:
            places = [int(i) for i in file[entry["indices"]][...]]
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
