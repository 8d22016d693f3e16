"""``mmtx data action=import``: convert public data set formats to manifests."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from mmtx_cli.data.importer import coco, csv_table, easy_vqa, flickr8k, folders, vqa
from mmtx_cli.data.importer.mmimdb import MmImdb
from mmtx_cli.data.importer.mmsa import Mmsa
from mmtx_cli.data.importer.options import Settings, chosen, example, import_key_faults, require
from mmtx_cli.data.importer.paths import (
    by_split,
    check_folders,
    check_splits,
    followed,
    image_folder,
    image_folders,
    split_name,
)
from mmtx_cli.data.importer.rows import keep_together, list_missing, with_changed_paths, with_files
from mmtx_cli.data.importer.staging import Staging
from mmtx_cli.data.importer.vectors import Vectors
from mmtx_cli.data.manifest.dataset_card import card_path, read_card
from mmtx_cli.data.manifest.option_names import IMPORT_KEYS, RATIOS
from mmtx_cli.data.manifest.read import read_manifest, row_faults
from mmtx_cli.data.manifest.splits import check_ratios, split_of
from mmtx_cli.data.manifest.summary import summarise
from mmtx_cli.data.manifest.writer import home_of, write_manifest
from mmtx_cli.errors import ConfigError, DataError, at_most
from mmtx_cli.io.console import make_console
from mmtx_cli.io.quoting import argument

Rows = Iterator[tuple[str, dict[str, Any]]]


class Found(NamedTuple):
    """The output of an importer: rows with their source locations, and the media folders.

    ``staging`` receives the files that the importer writes while its rows are read.
    """

    rows: Rows
    folders: Iterable[str]
    staging: Staging


def import_(settings: Settings) -> Path:
    """Validate all imported rows, write them as a manifest, and print a summary."""
    importers: dict[str, tuple[Callable[[Settings], Found], str]] = {
        "coco": (_coco, "images"),
        "flickr8k": (_flickr8k, "images"),
        "csv": (_csv, "captions"),
        "folders": (_folders, "source"),
        "vqa": (_vqa, "images"),
        "easy_vqa": (_easy_vqa, "out"),
        "mmsa": (_mmsa, "source"),
        "mmimdb": (_mmimdb, "source"),
    }
    read, needed = chosen("format", settings, importers)
    require(settings, tuple(dict.fromkeys(("out", needed))), settings["format"])
    out = Path(settings["out"])
    if out.suffix != ".jsonl":
        raise ConfigError(f"out={out}: must be a .jsonl manifest, e.g. out={out / 'data.jsonl'}")
    if settings["missing"] not in ("error", "skip"):
        raise ConfigError(f"missing={settings['missing']}: must be error, or skip to skip rows")
    if faults := list(import_key_faults(settings)):
        raise ConfigError(*faults)
    found = read(settings)
    with found.staging.removed():
        home = _write(settings, found, out)
    written = read_manifest(
        out, root=home, check_files=False, allow_outside_root=settings["allow_outside_root"]
    )
    make_console(soft_wrap=True).print(summarise(written))
    if written.card.root is not None:  # readers reject a card root outside the manifest's folder
        print(
            f"the files are in {home}, outside the folder of {out}; read it with "
            f"{argument('data.root', home)}",
            file=sys.stderr,
        )
    return out


def _write(settings: Settings, found: Found, out: Path) -> Path:
    """Read all rows and, if none has a fault, write the manifest and its files.

    Returns the folder that the manifest's paths are relative to.
    """
    shared = os.path.commonpath([os.path.abspath(folder) for folder in found.folders])
    root, allowed = settings["root"] or shared, settings["allow_outside_root"]
    rows = [(place, with_changed_paths(row)) for place, row in found.rows]
    missing: list[str] = []
    total = len(rows)
    if settings["missing"] == "skip":
        rows, missing = with_files(rows)
    if isinstance(settings["split"], dict):
        keep_together([row for _, row in rows])
    card, placed = read_card(card_path(out)), found.staging.placed
    home = home_of(out, root)
    if faults := row_faults(rows, home, card, IMPORT_KEYS, allowed):
        raise DataError(*map(placed, at_most(faults)))
    with found.staging.in_place():
        write_manifest(out, (with_changed_paths(row, placed) for _, row in rows), root=root)
    list_missing(missing, total, out)
    return home


def _coco(settings: Settings) -> Found:
    files = by_split("annotations", settings, "coco")
    folders = image_folders(settings, files, "coco")
    rows = chain.from_iterable(coco.rows(file, folders[s], s) for s, file in files.items())
    return Found(rows, folders.values(), _staging(settings))


def _flickr8k(settings: Settings) -> Found:
    require(settings, ("captions",), "flickr8k")
    lists = {split: path for split, path in (settings["splits"] or {}).items() if path}
    check_splits("splits", lists, "flickr8k")
    folder = image_folder(settings, "flickr8k")
    return Found(flickr8k.rows(settings["captions"], folder, lists), [folder], _staging(settings))


def _csv(settings: Settings) -> Found:
    columns: Any = {} if settings["columns"] is None else settings["columns"]
    by, wanted, staging = settings["split_by"], settings["features"], _staging(settings)
    check_columns(columns, by)
    if by is not None and not isinstance(settings["split"], dict):
        raise ConfigError(f"split_by={by}: needs ratios; set e.g. 'split={RATIOS}'")
    if wanted is not None and (not isinstance(wanted, dict) or not wanted):
        raise ConfigError(f"features={wanted}: must map a modality to columns{example('features')}")
    needs_folder = wanted is None or settings["images"] is not None
    folder = image_folder(settings, "csv") if needs_folder else None
    notes: list[str] = []
    rows = csv_table.rows(
        settings["captions"],
        folder,
        csv_table.Form(columns, settings["delimiter"], settings["quoting"], by),
        split=_split_of_rows(settings),
        vectors=Vectors(wanted, staging.folder) if wanted else None,
        notes=notes,
    )
    media = [folder] if folder else []
    beside = [str(staging.final.parent)] if wanted else []
    return Found(_then(rows, lambda: notes), media + beside, staging)


def check_columns(columns: object, by: object) -> None:
    """Raise ConfigError if ``columns`` mixes names and numbers, or ``by`` does not match them."""
    if not isinstance(columns, dict):
        raise ConfigError(f"columns={columns}: must map fields to columns{example('csv')}")
    if len({type(name) is int for name in columns.values()}) > 1:
        raise ConfigError(f"columns={columns}: use names, or numbers if there is no header")
    if type(by) is int and not any(type(name) is int for name in columns.values()):
        raise ConfigError(
            f"split_by={by}: column numbers are for tables without a header, where all columns "
            "are numbers, as in 'columns={image: 1, caption: 3}'; use the column name"
        )
    if isinstance(by, str) and any(type(name) is int for name in columns.values()):
        raise ConfigError(f"split_by={by}: must be a number, as in columns={columns}")


def _staging(settings: Settings) -> Staging:
    """Return the staging folder for files written by the importer: OUT_features beside ``out``."""
    out = Path(settings["out"])
    return Staging(out.with_name(f"{out.stem}_features"))


def _folders(settings: Settings) -> Found:
    check_folders({"source": settings["source"]}, "folders")
    source, notes = Path(followed(settings["source"])), list[str]()
    rows = folders.rows(source, _split_of_rows(settings), notes)
    return Found(_then(rows, lambda: notes), [str(source)], _staging(settings))


def _split_of_rows(settings: Settings) -> str | Callable[[str], str] | None:
    """Return the split of rows without one: a fixed name, or a function of the id for ratios."""
    ratios, seed = settings["split"], settings["seed"]
    if isinstance(ratios, dict):
        check_ratios(ratios, IMPORT_KEYS.split)
        return lambda ident: split_of(ident, ratios, seed)
    return None if ratios is None else split_name(settings, settings["format"])


def _vqa(settings: Settings) -> Found:
    questions = by_split("questions", settings, "vqa")
    folders = image_folders(settings, questions, "vqa")
    told = by_split("annotations", settings, "vqa") if settings["annotations"] else {}
    if other := told.keys() - questions.keys():
        raise ConfigError(f"annotations.{min(other)}: no questions for this split{example('vqa')}")
    rows = (vqa.rows(file, told.get(s), folders[s], s) for s, file in questions.items())
    return Found(chain.from_iterable(rows), folders.values(), _staging(settings))


def _easy_vqa(settings: Settings) -> Found:
    given = {**settings, "images": settings["images"] or str(easy_vqa.package_folder())}
    folder = image_folder(given, "easy_vqa")
    return Found(easy_vqa.rows(folder, settings["seed"]), [folder], _staging(settings))


def _mmsa(settings: Settings) -> Found:
    columns: Any = {} if settings["columns"] is None else settings["columns"]
    if not isinstance(columns, dict) or not columns.keys() <= {"label"}:
        raise ConfigError(f"columns={columns}: must name the label field{example('mmsa')}")
    staging = _staging(settings)
    read = Mmsa(settings["source"], staging.folder, columns.get("label"))
    return Found(_noted(read), [str(staging.final.parent)], staging)


def _mmimdb(settings: Settings) -> Found:
    read = MmImdb(settings["source"])
    return Found(_noted(read), [str(read.source.parent)], _staging(settings))


def _noted(read: Mmsa | MmImdb) -> Rows:
    """Yield the rows, then print the importer's notes."""
    return _then(read.rows(), lambda: read.notes)


def _then(rows: Rows, notes: Callable[[], Iterable[str]]) -> Rows:
    """Yield the rows, then print the notes collected while reading them."""
    yield from rows
    for note in notes():
        print(note)
