"""Reading and validation of manifests (one row per sample), reporting all faults at once."""

import os
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from mmtx_cli.data.manifest.dataset_card import Card, card_path, read_card
from mmtx_cli.data.manifest.label_types import label_names_of, with_number_labels
from mmtx_cli.data.manifest.missing_files import located_faults
from mmtx_cli.data.manifest.option_names import CHECK_KEYS, RUN_KEYS, Keys
from mmtx_cli.data.manifest.path_resolver import Root, card_folder
from mmtx_cli.data.manifest.row_parser import Row, RowReader
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.splits import Ratios, assigner
from mmtx_cli.data.manifest.table_file import Line, is_text_table, read_lines
from mmtx_cli.errors import DataError, truncate
from mmtx_cli.io.quoting import argument


@dataclass(frozen=True)
class Manifest:
    """The samples of a data set, in file order, with its dataset card."""

    path: Path
    samples: list[Sample]
    card: Card

    def split(self, name: str) -> list[Sample]:
        """Return the samples of a split (train, val or test)."""
        return [sample for sample in self.samples if sample.split == name]

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
    root_of = partial(Root, folder, allow_outside=allow_outside_root, keys=keys)
    checked = root_of(check_files=check_files)
    reader = RowReader(
        checked,
        typed=not is_text_table(path),
        assign=assigner(split, seed, keys),
        card=card,
        keys=keys,
        ignored=ignored,
        unchecked=root_of(check_files=False) if may_be_absent else None,
    )
    samples, found = _read_rows(lines, reader, path if is_text_table(path) else None)
    faults = located_faults([(f"{path}:{line}", fault) for line, fault in found], checked)
    if not samples and not faults:
        faults = [f"{path}: no rows; write one JSON object per line"]
    if is_text_table(path) and card.label_type is None:
        samples, label_faults = with_number_labels(samples)
        faults += [f"{path}:{line}: {fault}" for line, fault in label_faults]
    return Manifest(path, samples, card), faults or _count_faults(samples, card)


def _read_rows(
    lines: Iterable[Line], reader: RowReader, table: Path | None
) -> tuple[list[Sample], list[tuple[int, str]]]:
    """Return the valid rows, and faults with line numbers; a ``table`` has one header for all."""
    samples: list[Sample] = []
    faults: list[tuple[int, str]] = []
    first: dict[str, int] = {}
    keys_checked = False
    for line, row in lines:
        if isinstance(row, str):
            faults.append((line, row))
            continue
        if not keys_checked:
            misspelled = reader.misspelled_keys(row)
            faults += [(line, fault) for fault in misspelled]
        if table and not keys_checked:
            keys_checked = True  # report header faults once instead of once per row
            missing = reader.missing_column(row)
            if missing and not any(f"did you mean {missing!r}?" in fault for fault in misspelled):
                faults.append((1, _no_column(missing, table, row, reader)))
            if missing == "id":
                return samples, faults
            if missing:
                reader.without_splits()
        sample, ident, found = reader.sample(row, line)
        faults += [(line, fault) for fault in found]
        if ident and first.setdefault(ident, line) != line:
            faults.append(
                (line, f"id {ident!r} is already used on line {first[ident]}; rename one")
            )
        elif sample is not None:
            samples.append(sample)
    return samples, faults


def _no_column(name: str, table: Path, row: Row, reader: RowReader) -> str:
    problem = f"no column {name!r}; available columns: {', '.join(row)}"
    if name == "split":
        return f"{problem}; {reader.split_remedy}"
    separator = next((c for c in ";|\t" if len(row) == 1 and c in next(iter(row))), None)
    delimiter = f" {argument('delimiter', separator)}" if separator else ""
    return (
        f"{problem}; not a manifest, but the table can be converted: `mmtx data action=import "
        f"importer=csv {argument('captions', table)}{delimiter} images=FOLDER out=NAME.jsonl`"
    )


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
            faults.append((place, f"id {ident!r} is already used at {first[ident]}; rename one"))
    return located_faults(faults, location)


def _count_faults(samples: list[Sample], card: Card) -> list[str]:
    rows = Counter(sample.split for sample in samples)
    return [
        f"{card.path}: expects {count} rows of {split}, the manifest has {rows[split]}; "
        "restore the rows or fix counts"
        for split, count in card.counts.items()
        if rows[split] != count
    ]
