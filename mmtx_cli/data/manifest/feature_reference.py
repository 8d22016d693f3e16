"""References to precomputed features: a file, a key in it, and a row of that array."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import PurePath
from typing import Any

from mmtx_cli.data.manifest.cell_parsers import json_of, shown, text_of
from mmtx_cli.suggest import closest

MODALITIES = ("text", "image", "video", "audio")
HDF5 = (".h5", ".hdf5")
SUFFIXES = (".npy", ".npz", ".pt", ".safetensors", *HDF5)
KEYED = (".npz", ".safetensors", *HDF5)
"""Formats that hold several named arrays; .pt may hold one or several."""
EXAMPLE = '{"audio": "a17.npy", "text": {"path": "text.safetensors", "key": "a17"}}'
_PARTS = ("path", "key", "row")


@dataclass(frozen=True, slots=True)
class FeaturePlace:
    """Reference to a sample's features: an absolute path, an array's key, and a row from 0.

    The array, or its row, is a vector [c] or a sequence of vectors [l, c].
    """

    path: str
    key: str | None = None
    row: int | None = None

    @property
    def key_and_row(self) -> str:
        """The key and row in words; empty for the whole file."""
        parts = [] if self.key is None else [f"key {self.key}"]
        return ", ".join(parts if self.row is None else [*parts, f"row {self.row}"])


def features_of(
    value: object, faults: list[str], typed: bool, resolve: Callable[[str, str], str]
) -> dict[str, FeaturePlace]:
    """Parse the value of ``features`` to references by modality.

    Args:
        value: The value of the manifest row.
        faults: List to which faults are appended.
        typed: False for CSV and TSV, whose cells are JSON.
        resolve: Makes a path absolute, given its key and the path.
    """
    if isinstance(value, str) and not typed and value.strip():
        value = json_of("features", value, faults) if value.lstrip().startswith("{") else value
    if value is None or value == "":
        return {}
    if not isinstance(value, Mapping):
        faults.append(f"features is {shown(value)}; expected files by modality, e.g. {EXAMPLE}")
        return {}
    places = {}
    for name, reference in value.items():
        if reference is None or reference == "":
            continue
        if name not in MODALITIES:
            near = closest(str(name), MODALITIES, 0.6)
            hint = f"did you mean {near!r}?" if near else f"use {', '.join(MODALITIES)}"
            faults.append(f"features has unknown modality {name!r}; {hint}")
        elif (place := _place(name, reference, faults, resolve)) is not None:
            places[name] = place
    return places


def _place(
    name: str, reference: object, faults: list[str], resolve: Callable[[str, str], str]
) -> FeaturePlace | None:
    where, num_faults = f"features.{name}", len(faults)
    parts = {"path": reference} if isinstance(reference, str) else reference
    if not isinstance(parts, Mapping):
        faults.append(f"{where} is {shown(reference)}; expected a path, or path, key and row")
        return None
    faults += [
        f"{where} has unknown key {part!r}; use path, key and row"
        for part in parts
        if part not in _PARTS
    ]
    path, key, row = (parts.get(part) for part in _PARTS)
    if isinstance(path, str) and text_of(f"{where}.path", path, faults) is None and path.strip():
        return None
    if not isinstance(path, str) or not path.strip():
        faults.append(f"{where} has no path; expected e.g. {EXAMPLE}")
        return None
    if key is not None and (not isinstance(key, str) or not key):
        faults.append(f"{where}.key is {shown(key)}; expected the name of an array in quotes")
    if row is not None and (type(row) is not int or row < 0):
        faults.append(f"{where}.row is {shown(row)}; expected an integer of 0 or more")
    elif isinstance(key, str):
        text_of(f"{where}.key", key, faults)
    faults += _suffix_faults(where, path, key)
    full = resolve(where, path)
    return FeaturePlace(full, key, row) if len(faults) == num_faults else None  # type: ignore[arg-type]


def _suffix_faults(where: str, path: str, key: object) -> list[str]:
    """Return faults of the file suffix, and of a missing or superfluous key."""
    suffix = PurePath(path).suffix.lower()
    if suffix not in SUFFIXES:
        return [f"{where}: {path} is unsupported; convert it to {', '.join(SUFFIXES)}"]
    if suffix in KEYED and key is None:
        return [f'{where}: {path} contains named arrays; use {{"path": …, "key": NAME}}']
    if suffix == ".npy" and key is not None:
        return [f"{where}: {path} contains one unnamed array; remove the key"]
    return []


def place_row(place: FeaturePlace) -> dict[str, str | int]:
    """Return a reference as it is written in a manifest."""
    return {key: value for key, value in asdict(place).items() if value is not None}


def with_paths(features: Mapping[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    """Return a manifest's ``features`` value with ``change`` applied to every path."""
    return {
        name: change(place) if isinstance(place, str) else {**place, "path": change(place["path"])}
        for name, place in features.items()
    }
