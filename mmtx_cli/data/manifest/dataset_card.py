"""The dataset card: NAME.yaml beside NAME.jsonl, with metadata of the whole data set."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtx_cli.data.manifest.cell_parsers import shown
from mmtx_cli.errors import DataError
from mmtx_cli.io.unicode import composed
from mmtx_cli.io.untrusted.yaml_reader import YamlTextError, read_yaml
from mmtx_cli.suggest import closest

KEYS = (
    "root",
    "label_names",
    "label_type",
    "license",
    "source",
    "description",
    "counts",
    "extra_keys",
)
LABEL_TYPES = ("name", "number")


@dataclass(frozen=True)
class Card:
    """Metadata of a data set; every field is optional.

    ``root`` is the folder that paths are relative to, itself relative to the card. ``counts`` is
    the expected number of rows by split. ``label_type`` ("name" or "number") is how untyped
    ``label`` cells are read. ``extra_keys`` are custom columns whose names resemble a known key.
    ``other`` holds all remaining entries.
    """

    path: Path | None = None
    root: str | None = None
    label_names: list[str] | None = None
    label_type: str | None = None
    license: str | None = None
    source: str | None = None
    description: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    extra_keys: tuple[str, ...] = ()
    other: dict[str, Any] = field(default_factory=dict)


def card_path(manifest: Path) -> Path:
    """Return the path of a manifest's card, whether or not it exists."""
    return manifest.with_suffix(".yaml")


def read_card(path: Path) -> Card:
    """Read a card; return an empty one if the file does not exist.

    Raises:
        DataError: if it is not a YAML mapping, or a value has the wrong type.
    """
    if not path.is_file():
        return Card()
    values = card_values(path)
    if "licence" in values:
        values.setdefault("license", values.pop("licence"))
    faults = [f"{path}: {fault}" for fault in _faults(values)]
    if faults:
        raise DataError(*faults)
    known = {key: values.pop(key) for key in KEYS if values.get(key) is not None}
    if "label_names" in known:
        known["label_names"] = [composed(name) for name in known["label_names"]]
    known["extra_keys"] = tuple(known.get("extra_keys", ()))
    return Card(path=path, other=values, **known)


def card_values(path: Path) -> dict[str, Any]:
    """Return the mapping in a card file; raise DataError if it is not a mapping."""
    try:
        values = read_yaml(path)
    except YamlTextError as error:
        where = f"{path}:{error.line}" if error.line else str(path)
        raise DataError(f"{where}: {error}; fix the dataset card") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise DataError(f"{path}: a dataset card must be a mapping, e.g. `root: images`")
    return values


def _faults(values: dict[str, Any]) -> list[str]:
    validators = {
        "root": _is_text,
        "label_names": _is_names,
        "label_type": lambda value: value in LABEL_TYPES,
        "license": _is_text,
        "source": _is_text,
        "description": _is_text,
        "counts": _is_counts,
        "extra_keys": lambda value: value == [] or _is_names(value),
    }
    expected = {
        "label_names": "a list of unique names, e.g. [cat, dog] (numbers in quotes)",
        "label_type": f"one of {', '.join(LABEL_TYPES)}",
        "counts": "rows per split, e.g. {train: 800, val: 100, test: 100}",
        "extra_keys": "a list of column names",
    }
    faults = []
    for key, value in values.items():
        if key in validators:
            if value is not None and not validators[key](value):
                faults.append(f"{key} is {shown(value)}; expected {expected.get(key, 'text')}")
        elif (near := closest(key, KEYS)) and near not in values:
            faults.append(f"unknown key {key!r}; did you mean {near!r}?")
    return faults


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_names(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(name, str) and name for name in value)
        and len(set(value)) == len(value)
    )


def _is_counts(value: object) -> bool:
    return isinstance(value, dict) and all(
        key in ("train", "val", "test") and type(count) is int and count >= 0
        for key, count in value.items()
    )
