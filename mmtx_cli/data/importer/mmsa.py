"""Import of MMSA pickles (CMU-MOSI, CMU-MOSEI, CH-SIMS): features, texts and labels by split.

Layout: Mao et al., "M-SENA: an integrated platform for multimodal sentiment analysis", ACL 2022
(demonstrations). ``{"train" | "valid" | "test": {"id", "raw_text", "text", "audio", "vision",
"regression_labels", "annotations", …}}``. Features are [n, l, c], padded with zeros;
``audio_lengths`` and ``vision_lengths`` exist if the modalities are not aligned by words.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from mmtx_cli.data.importer.formats.pickled import plain, read_pickle
from mmtx_cli.data.importer.found import Found, staging_of, with_notes
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.paths import example_of
from mmtx_cli.errors import ConfigError, DataError, truncate
from mmtx_cli.io.atomic import atomic_write

STREAMS = {"text": "text", "audio": "audio", "video": "vision"}
"""The pickle's field name for each modality."""
SPLITS = {"train": "train", "valid": "val", "test": "test"}
Arrays = dict[str, Float[np.ndarray, "n l c"]]


def read(settings: Settings) -> Found:
    """Return the rows of a pickle, whose features go to the staging folder."""
    columns: Any = {} if settings["columns"] is None else settings["columns"]
    if not isinstance(columns, dict) or not columns.keys() <= {"label"}:
        raise ConfigError(f"columns={columns}: must name the label field{example_of(settings)}")
    staging = staging_of(settings)
    found = Mmsa(settings["source"], staging.folder, columns.get("label"))
    rows = with_notes(found.rows(), lambda: found.notes)
    return Found(rows, [str(staging.final.parent)], staging)


class Mmsa:
    """Rows of an MMSA pickle, with notes on the values that were changed."""

    def __init__(self, source: str | Path, folder: str | Path, label: str | None = None) -> None:
        """Read the pickle; features go to ``folder``, labels come from the field ``label``.

        Raises:
            DataError: if the file is not an MMSA pickle, or references anything but arrays.
        """
        self.source, self.folder = Path(source), Path(folder)
        self.label = label or "regression_labels"
        self.changes: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.splits = self._splits(read_pickle(self.source))

    def _splits(self, content: Any) -> dict[str, dict[str, Any]]:
        fields = {key: content.get(key) for key in SPLITS} if isinstance(content, dict) else {}
        found = {key: value for key, value in fields.items() if isinstance(value, dict) and value}
        if not found:
            raise DataError(
                f"{self.source}: not a dict of train, valid and test; use an MMSA feature file"
            )
        splits, faults = {}, []
        for split, values in found.items():
            keys = {"id", "raw_text", *STREAMS.values(), self.label, *map(_lengths, STREAMS)}
            try:
                splits[split] = {key: plain(values[key]) for key in keys if key in values}
            except (ValueError, RecursionError) as error:
                faults.append(f"{self.source}: {split}: {error}")
                continue
            faults += [f"{self.source}: {split}: {f}" for f in self._faults(splits[split], values)]
        if faults:
            raise DataError(*truncate(faults))
        return splits

    def _faults(self, fields: Mapping[str, Any], values: Mapping[str, Any]) -> Iterator[str]:
        available = ", ".join(map(str, values))
        for key in ("id", self.label):
            if key not in fields:
                yield (
                    f"no field {key!r}; available: {available}; other label: "
                    f"columns={{label: FIELD}}"
                )
        present = [key for key in STREAMS.values() if key in fields]
        if not present:
            yield f"no field text, audio or vision; available: {available}"
        rows = _count(fields.get("id"))
        for key, value in fields.items():
            if _count(value) != rows:
                yield f"{key} has {_count(value)} entries for {rows} ids"
            elif key.endswith("_lengths") and np.asarray(value).dtype.kind not in "iu":
                yield f"{key} must contain integers"
            elif key in present and not _are_features(value):
                yield f"{key} must contain numbers of shape [n, l, c]"
            elif key == self.label:
                for i, item in enumerate(value):
                    if _label(item) is None:
                        yield f"{key}[{i}] is {str(item)[:40]}, neither a name nor a finite number"

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Write each split's features, then yield its rows with their locations in the pickle.

        Can be called only once, because the features are freed after writing.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for split, fields in self.splits.items():
            ids = [self._ident(value) for value in fields["id"]]
            files = self._write(SPLITS[split], ids, fields)
            for i, ident in enumerate(ids):
                features = {
                    name: {"path": str(path), "key": ident}
                    for name, (path, stored_ids) in files.items()
                    if ident in stored_ids
                }
                row = {"id": ident, "split": SPLITS[split], "features": features}
                text = _text(fields["raw_text"][i]).strip() if "raw_text" in fields else ""
                label = _label(fields[self.label][i])
                yield f"{self.source}: {split}[{i}]", {**row, "text": text, "label": label}

    def _ident(self, value: Any) -> str:
        """Return a unique id; the parts of a (video, clip) id are joined as in MMSA."""
        parts = np.ravel(value).tolist() if isinstance(value, (list, np.ndarray)) else [value]
        ident = "$_$".join(map(_text, parts))
        self.ids[ident] += 1
        if self.ids[ident] == 1:
            return ident
        self.changes["duplicate ids were numbered"] += 1
        return f"{ident}#{self.ids[ident]}"

    def _write(
        self, split: str, ids: list[str], fields: dict[str, Any]
    ) -> dict[str, tuple[Path, frozenset[str]]]:
        """Write one file per modality; return its path and the ids that have features in it."""
        from safetensors.numpy import save_file

        # these files can have many gigabytes: pop each array so that the raw copy is freed
        present = {name: key for name, key in STREAMS.items() if key in fields}
        streams = {name: self._clean(name, fields.pop(key)) for name, key in present.items()}
        bounds = self._bounds(streams, fields)
        files = {}
        for name, array in streams.items():
            arrays = {
                ident: np.ascontiguousarray(array[i, first:end])
                for i, (ident, (first, end)) in enumerate(zip(ids, bounds[name], strict=True))
                if end > first
            }
            if missing := len(ids) - len(arrays):
                self.changes[f"samples have no {name}: all padding"] += missing
            path = self.folder / f"{split}_{name}.safetensors"
            with atomic_write(path) as temporary:
                save_file(arrays, temporary)
            files[name] = path, frozenset(arrays)
        return files

    def _clean(self, name: str, array: Any) -> Float[np.ndarray, "n l c"]:
        """Convert to float32 [n, l, c] (l = 1 for vectors); replace non-finite values by 0."""
        with np.errstate(over="ignore"):
            clean = np.array(array, dtype=np.float32)
        clean = clean[:, None] if clean.ndim == 2 else clean
        bad = ~np.isfinite(clean)
        if count := int(bad.sum()):
            self.changes[f"{name} values were NaN or infinite and were set to 0"] += count
            clean[bad] = 0
        return clean

    def _bounds(self, streams: Arrays, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Return the (start, end) steps of each sample in each modality, without padding.

        Lengths are used if the file has them. Without any, modalities of equal length are
        treated as aligned and stay so: only steps in which all are zero count as padding.
        Otherwise each modality is trimmed by its own zeros.
        """
        lengths = {name: fields[_lengths(name)] for name in streams if _lengths(name) in fields}
        nonzero: dict[str, Any] = {name: x.any(axis=2) for name, x in streams.items()}
        if not lengths and len({x.shape[1] for x in streams.values()}) == 1:
            any_nonzero = np.logical_or.reduce(list(nonzero.values()))
            nonzero = dict.fromkeys(streams, any_nonzero)
        bounds = {}
        for name, x in streams.items():
            if name in lengths:
                ends = np.array([int(n) for n in np.ravel(lengths[name])])
                self.changes[f"{name} lengths exceeded the number of steps"] += int(
                    (ends > x.shape[1]).sum()
                )
                bounds[name] = [(0, int(end)) for end in ends.clip(0, x.shape[1])]
            else:
                bounds[name] = [_nonzero_range(row) for row in nonzero[name]]
        return bounds

    @property
    def notes(self) -> list[str]:
        """Counts of changed values; complete once all rows have been read."""
        return [f"{count} {what}" for what, count in self.changes.items() if count]


def _lengths(name: str) -> str:
    return f"{STREAMS[name]}_lengths"


def _nonzero_range(nonzero: Any) -> tuple[int, int]:
    """Return (start, end) of the nonzero steps; some data sets pad at the start."""
    (steps,) = np.nonzero(nonzero)
    return (int(steps[0]), int(steps[-1]) + 1) if len(steps) else (0, 0)


def _count(value: Any) -> int:
    return len(value) if isinstance(value, (list, np.ndarray)) else 0


def _are_features(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.ndim in (2, 3) and value.dtype.kind in "iuf"


def _text(value: Any) -> str:
    raw = value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
    return raw.decode("utf-8", "replace")


def _label(value: Any) -> str | int | float | None:
    """Return a name or a number, or None if it is neither.

    Floats go through ``str``, so that a float32 2.4 stays 2.4 instead of 2.4000000953.
    """
    value = np.ravel(value)[0] if isinstance(value, np.ndarray) and value.size == 1 else value
    if isinstance(value, (str, bytes)):
        return _text(value) or None
    if isinstance(value, (int, np.integer)):
        return int(value)
    if not isinstance(value, (float, np.floating)) or not np.isfinite(value):
        return None
    return float(str(value))
