"""Reading and validation of manifests (one row per sample), reporting all faults at once."""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from mmtx_cli.data.manifest.cell_parsers import is_encodable
from mmtx_cli.data.manifest.dataset_card import Card, card_path, read_card
from mmtx_cli.data.manifest.label_types import label_names_of, with_number_labels
from mmtx_cli.data.manifest.missing_files import located_faults
from mmtx_cli.data.manifest.option_names import CHECK_KEYS, RUN_KEYS, Keys
from mmtx_cli.data.manifest.path_resolver import Root, card_folder
from mmtx_cli.data.manifest.reading import Fault, Reading, repeated_id
from mmtx_cli.data.manifest.row_parser import Row, RowReader
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.splits import Ratios
from mmtx_cli.data.manifest.table.cached import is_large, read_table
from mmtx_cli.data.manifest.table.facts import of_split, split_counts
from mmtx_cli.data.manifest.table_file import Line, read_lines
from mmtx_cli.errors import DataError, truncate


@dataclass(frozen=True)
class Manifest:
    """The samples of a data set, in file order, with its dataset card.

    Samples of a large manifest are a ``SampleTable``, those of a small one a list.
    """

    path: Path
    samples: Sequence[Sample]
    card: Card

    def split(self, name: str) -> Sequence[Sample]:
        """Return the samples of a split (train, val or test)."""
        if name not in self._splits:
            self._splits[name] = of_split(self.samples, name)
        return self._splits[name]

    @cached_property
    def _splits(self) -> dict[str, Sequence[Sample]]:
        return {}

    def where(self, sample: Sample) -> str:
        """Return the sample's location as file:line, for messages."""
        return f"{self.path}:{sample.line}"

    @cached_property
    def label_names(self) -> list[str]:
        """Class names from the card, else from the training split (sorted, numerals by value)."""
        if self.card.label_names is not None:
            return self.card.label_names
        return label_names_of(self.split("train"))


def read_manifest(
    path: str | Path,
    *,
    root: str | Path | None = None,
    split: Ratios | None = None,
    seed: int = 0,
    allow_outside_root: bool = False,
    check_files: bool = True,
    max_faults: int = 20,
    keys: Keys = RUN_KEYS,
    ignored: Collection[str] = (),
    may_be_absent: bool = False,
) -> Manifest:
    """Read and validate a manifest (JSON Lines, CSV, TSV or Parquet) and the card beside it.

    URLs are always refused.

    Args:
        path: The manifest.
        root: Folder that paths are relative to (default: the card's root, else the manifest's
            folder).
        split: Split ratios for rows without a split, which is assigned by a hash of (``seed``,
            id) and so does not depend on the other rows.
        seed: Seed of that hash.
        allow_outside_root: Whether paths and links may leave the root.
        check_files: Whether to look for the media files. If False, links in place of single
            files are not detected either.
        max_faults: Maximum number of faults in the message.
        keys: Names of the configuration keys that messages refer to.
        ignored: Row keys whose values are not validated.
        may_be_absent: Whether missing files are allowed; links are still checked.

    Raises:
        DataError: with every fault as ``file:line: what; what to do``, at most ``max_faults`` of
            them, followed by the number of further ones.
        ConfigError: if the ratios are invalid.
    """
    manifest, faults = read_faulty(
        path,
        root=root,
        split=split,
        seed=seed,
        allow_outside_root=allow_outside_root,
        check_files=check_files,
        keys=keys,
        ignored=ignored,
        may_be_absent=may_be_absent,
    )
    if faults:
        raise DataError(*truncate(faults, max_faults))
    return manifest


def read_faulty(
    path: str | Path,
    *,
    root: str | Path | None = None,
    split: Ratios | None = None,
    seed: int = 0,
    allow_outside_root: bool = False,
    check_files: bool = True,
    keys: Keys = CHECK_KEYS,
    ignored: Collection[str] = (),
    may_be_absent: bool = False,
) -> tuple[Manifest, list[str]]:
    """Return a manifest of the valid rows, and all faults; see ``read_manifest`` for the arguments.

    Only ``mmtx data`` uses both, so ``keys`` defaults to that command's key names.
    """
    path = Path(path)
    lines = read_lines(path)
    card = read_card(card_path(path))
    folder = (
        root
        if root is not None
        else card_folder(path, card.path, card.root, allow_outside=allow_outside_root, keys=keys)
    )
    if check_files and root is not None and not os.path.isdir(root):
        raise DataError(f"{keys.root}={root}: folder not found")
    reading = Reading(
        path,
        card,
        folder,
        split,
        seed,
        allow_outside_root,
        check_files,
        keys,
        ignored,
        may_be_absent,
    )
    # Arrow stores UTF-8, which a folder's name may not be
    if is_large(path) and is_encodable(os.path.abspath(folder)):
        found: tuple[Sequence[Sample], list[str]] = read_table(reading)
    else:
        found = _read_list(reading, lines)
    samples, faults = found
    return Manifest(path, samples, card), faults or _count_faults(samples, card)


def _read_list(reading: Reading, lines: Iterable[Line]) -> tuple[Sequence[Sample], list[str]]:
    """Return the valid rows, and all faults."""
    reader, root = reading.reader()
    samples: list[Sample] = []
    found: list[Fault] = []
    first: dict[str, int] = {}
    for line, values, ident, row_faults in reading.rows(lines, reader):
        found += [(line, fault) for fault in row_faults]
        if ident and first.setdefault(ident, line) != line:
            found.append((line, repeated_id(ident, f"on line {first[ident]}")))
        elif values is not None:
            samples.append(Sample(*(*values, line)))
    path = reading.path
    faults = located_faults([(f"{path}:{line}", fault) for line, fault in found], root)
    if not samples and not faults:
        faults = [f"{path}: no rows; write one JSON object per line"]
    if not reading.is_text or reading.card.label_type is not None:
        return samples, faults
    numbered, label_faults = with_number_labels(samples)
    return numbered, faults + [f"{path}:{line}: {fault}" for line, fault in label_faults]


def row_faults(
    rows: Iterable[tuple[str, Row]],
    root: str | Path,
    card: Card,
    keys: Keys,
    allow_outside_root: bool = False,
) -> list[str]:
    """Return the faults that a manifest of these rows would have, before it is written.

    Args:
        rows: Each row with its location in the source file, at which its faults are reported.
        root: Folder that paths are relative to.
        card: The dataset card of the manifest.
        keys: Names of the configuration keys that messages refer to.
        allow_outside_root: Whether paths and links may leave the root.
    """
    location = Root(root, allow_outside=allow_outside_root, check_files=True, keys=keys)
    reader = RowReader(location, typed=True, assign=None, card=card, keys=keys)
    faults: list[tuple[str, str]] = []
    first: dict[str, str] = {}
    for place, row in rows:
        _, ident, found = reader.sample(row, 0)
        faults += [(place, fault) for fault in found]
        if ident and first.setdefault(ident, place) != place:
            faults.append((place, repeated_id(ident, f"at {first[ident]}")))
    return located_faults(faults, location)


def _count_faults(samples: Sequence[Sample], card: Card) -> list[str]:
    rows = split_counts(samples)
    return [
        f"{card.path}: expects {count} rows of {split}, the manifest has {rows[split]}; "
        "restore the rows or fix counts"
        for split, count in card.counts.items()
        if rows[split] != count
    ]
