"""`mmtx data action=import`: public data sets of other forms to manifests."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from mmtx_cli.argument import argument
from mmtx_cli.command.data_keys import Settings, chosen, example, require
from mmtx_cli.command.import_rows import keep_together, with_absolute_paths, with_files
from mmtx_cli.console import make_console
from mmtx_cli.data.card import card_path, read_card
from mmtx_cli.data.importer import coco, csv_table, easy_vqa, flickr8k, folders, vqa
from mmtx_cli.data.importer.mmimdb import MmImdb
from mmtx_cli.data.importer.mmsa import Mmsa
from mmtx_cli.data.importer.vectors import Vectors
from mmtx_cli.data.keys import IMPORT_KEYS, RATIOS
from mmtx_cli.data.manifest import SPLITS, check_ratios, read_manifest, row_faults, split_of
from mmtx_cli.data.name import nearest
from mmtx_cli.data.summary import summarise
from mmtx_cli.data.write import home_of, write_manifest
from mmtx_cli.error import ConfigError, DataError
from mmtx_cli.fault import at_most

Rows = Iterator[tuple[str, dict[str, Any]]]


class Found(NamedTuple):
    """What an importer reads: rows, each with its place, and the folders that hold their files."""

    rows: Rows
    folders: Iterable[str]


def import_(settings: Settings) -> Path:
    """Write a manifest, once every row of it is known to be sound, and sum it up."""
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
        raise ConfigError(f"out={out}: name the manifest to write, e.g. out={out / 'data.jsonl'}")
    if settings["missing"] not in ("error", "skip"):
        raise ConfigError(f"missing={settings['missing']}: write error, or skip to leave rows out")
    for key in ("split_by", "features"):
        if settings[key] is not None and settings["format"] != "csv":
            raise ConfigError(f"{key}={settings[key]}: is for format=csv; leave it out")
    found = read(settings)
    shared = os.path.commonpath([os.path.abspath(folder) for folder in found.folders])
    root, allowed = settings["root"] or shared, settings["allow_outside_root"]
    rows = [(place, with_absolute_paths(row)) for place, row in found.rows]
    if settings["missing"] == "skip":
        rows = with_files(rows, out)
    if isinstance(settings["split"], dict):
        keep_together([row for _, row in rows], settings["split"], settings["seed"])
    card = read_card(card_path(out))
    if faults := row_faults(rows, home_of(out, root), card, IMPORT_KEYS, allowed):
        raise DataError(*at_most(faults))
    write_manifest(out, (row for _, row in rows), root=root)
    home = home_of(out, root)
    written = read_manifest(out, root=home, check_files=False, allow_outside_root=allowed)
    make_console().print(summarise(written))
    if written.card.root is not None:  # a reader takes no root outside from a card
        print(
            f"the files lie in {home}, outside the folder of {out}: read it with "
            f"{argument('data.root', home)}",
            file=sys.stderr,
        )
    return out


def _coco(settings: Settings) -> Found:
    files = _by_split("annotations", settings, "coco")
    folders = _image_folders(settings, files, "coco")
    rows = chain.from_iterable(coco.rows(file, folders[s], s) for s, file in files.items())
    return Found(rows, folders.values())


def _flickr8k(settings: Settings) -> Found:
    require(settings, ("captions",), "flickr8k")
    lists = {split: path for split, path in (settings["splits"] or {}).items() if path}
    _check_splits("splits", lists, "flickr8k")
    folder = _image_folder(settings, "flickr8k")
    return Found(flickr8k.rows(settings["captions"], folder, lists), [folder])


def _csv(settings: Settings) -> Found:
    columns, by = settings["columns"] or {}, settings["split_by"]
    if not isinstance(columns, dict):
        raise ConfigError(f"columns={columns}: write a column a kind{example('csv')}")
    if len({type(name) is int for name in columns.values()}) > 1:
        raise ConfigError(f"columns={columns}: write names, or numbers where there is no header")
    if by is not None and not isinstance(settings["split"], dict):
        raise ConfigError(f"split_by={by}: needs ratios; write e.g. 'split={RATIOS}'")
    wanted, out = settings["features"], Path(settings["out"])
    if wanted is not None and (not isinstance(wanted, dict) or not wanted):
        raise ConfigError(f"features={wanted}: write columns a modality{example('features')}")
    needs_folder = wanted is None or settings["images"] is not None
    folder = _image_folder(settings, "csv") if needs_folder else None
    vectors = Vectors(wanted, out.with_name(f"{out.stem}_features")) if wanted else None
    form = csv_table.Form(columns, settings["delimiter"], settings["quoting"], by)
    notes: list[str] = []
    rows = csv_table.rows(
        settings["captions"],
        folder,
        form,
        split=_split_of_rows(settings),
        vectors=vectors,
        notes=notes,
    )
    media = [folder] if folder else []
    return Found(_then(rows, lambda: notes), media + ([str(out.parent)] if vectors else []))


def _folders(settings: Settings) -> Found:
    source, notes = Path(settings["source"]), list[str]()
    _check_folders({"source": settings["source"]}, "folders")
    rows = folders.rows(source, _split_of_rows(settings), notes)
    return Found(_then(rows, lambda: notes), [str(source)])


def _split_of_rows(settings: Settings) -> str | Callable[[str], str] | None:
    """Return the split of rows that name none: one for all, or by ratios one for each id."""
    ratios, seed = settings["split"], settings["seed"]
    if isinstance(ratios, dict):
        check_ratios(ratios, IMPORT_KEYS.split)
        return lambda ident: split_of(ident, ratios, seed)
    return None if ratios is None else _split_name(settings, settings["format"])


def _vqa(settings: Settings) -> Found:
    questions = _by_split("questions", settings, "vqa")
    folders = _image_folders(settings, questions, "vqa")
    told = _by_split("annotations", settings, "vqa") if settings["annotations"] else {}
    if other := told.keys() - questions.keys():
        raise ConfigError(
            f"annotations.{min(other)}: there are no questions of that split{example('vqa')}"
        )
    rows = (vqa.rows(file, told.get(s), folders[s], s) for s, file in questions.items())
    return Found(chain.from_iterable(rows), folders.values())


def _easy_vqa(settings: Settings) -> Found:
    given = {**settings, "images": settings["images"] or str(easy_vqa.package_folder())}
    folder = _image_folder(given, "easy_vqa")
    return Found(easy_vqa.rows(folder, settings["seed"]), [folder])


def _mmsa(settings: Settings) -> Found:
    """The features go into a folder beside the manifest, named as it is."""
    columns = settings["columns"] or {}
    if not isinstance(columns, dict) or not columns.keys() <= {"label"}:
        raise ConfigError(f"columns={columns}: write the field of the labels{example('mmsa')}")
    out = Path(settings["out"])
    read = Mmsa(settings["source"], out.with_name(f"{out.stem}_features"), columns.get("label"))
    return Found(_noted(read), [str(out.parent)])


def _mmimdb(settings: Settings) -> Found:
    read = MmImdb(settings["source"])
    return Found(_noted(read), [str(read.source.parent)])


def _noted(read: Mmsa | MmImdb) -> Rows:
    """The rows, and then on the terminal what was changed or left out."""
    return _then(read.rows(), lambda: read.notes)


def _then(rows: Rows, notes: Callable[[], Iterable[str]]) -> Rows:
    """The rows, and then on the terminal the notes that reading them left."""
    yield from rows
    for note in notes():
        print(note)


def _by_split(key: str, settings: Settings, what: str) -> dict[str, Any]:
    """Return the file of each split: those given so, or one alone of the split that is given."""
    require(settings, (key,), what)
    files: Any = settings[key]
    if not isinstance(files, dict):
        require(settings, ("split",), what)
        files = {_split_name(settings, what): files}
    _check_splits(key, files, what)
    return files


def _split_name(settings: Settings, what: str) -> str:
    if settings["split"] not in SPLITS:
        raise ConfigError(f"split={settings['split']}: write train, val or test{example(what)}")
    return settings["split"]


def _check_splits(key: str, value: object, what: str) -> None:
    if not isinstance(value, dict) or not value or not set(value) <= set(SPLITS):
        raise ConfigError(f"{key}={value}: write a file a split (train, val, test){example(what)}")


def _image_folders(settings: Settings, files: Mapping[str, Any], what: str) -> dict[str, str]:
    """Return the folder of each split's images."""
    images: Any = settings["images"]
    if not isinstance(images, dict):
        return dict.fromkeys(files, _image_folder(settings, what))
    if not files.keys() <= images.keys():
        raise ConfigError(
            f"images={images}: write one folder, or one for each of {', '.join(files)}"
            f"{example(what)}"
        )
    _check_folders({f"images.{split}": folder for split, folder in images.items()}, what)
    return images


def _image_folder(settings: Settings, what: str) -> str:
    _check_folders({"images": settings["images"]}, what)
    return settings["images"]


def _check_folders(folders: Mapping[str, Any], what: str) -> None:
    """Refuse folders that are none, by the key that names each."""
    faults = []
    for key, folder in folders.items():
        if not isinstance(folder, str) or not folder:
            faults.append(f"{key}={folder}: write one folder{example(what)}")
        elif not os.path.isdir(folder):
            said = "is a file, no folder" if os.path.exists(folder) else "no such folder"
            faults.append(f"{key}={folder}: {said}{_similar_folder(Path(folder))}")
    if faults:
        raise ConfigError(*faults)


def _similar_folder(folder: Path) -> str:
    if not folder.parent.is_dir():
        return f"; there is no folder {folder.parent} either"
    others = {path.name.lower(): path for path in folder.parent.iterdir() if path.is_dir()}
    near = nearest(folder.name, others, 0.6)
    return f"; did you mean {others[near]}?" if near else "; give the folder of the files"
