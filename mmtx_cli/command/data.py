"""`mmtx data`: make the built-in data set, check a manifest, import a public data set."""

import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from mmtx_cli.command.foreign import refuse_foreign_keys
from mmtx_cli.data.card import card_path, read_card
from mmtx_cli.data.check import check_manifest
from mmtx_cli.data.events import make_events
from mmtx_cli.data.importer import coco, csv_table, easy_vqa, flickr8k, vqa
from mmtx_cli.data.keys import IMPORT_KEYS
from mmtx_cli.data.lab import make_lab
from mmtx_cli.data.manifest import SPLITS, check_ratios, read_manifest, row_faults, split_of
from mmtx_cli.data.name import nearest
from mmtx_cli.data.scenes import make_scenes
from mmtx_cli.data.summary import summarise
from mmtx_cli.data.write import MEDIA, home_of, write_manifest
from mmtx_cli.error import ConfigError, DataError
from mmtx_cli.fault import at_most, without_repeats

Settings = dict[str, Any]
Rows = Iterator[tuple[str, dict[str, Any]]]
Choice = TypeVar("Choice")

_PATHS = ("out", "manifest", "root", "captions", "images", "annotations", "questions")

_EXAMPLE = {
    "make": "mmtx data action=make out=data/scenes",
    "check": "mmtx data action=check manifest=data/scenes/scenes.jsonl decode=true",
    "coco": (
        "mmtx data action=import format=coco out=coco.jsonl "
        "'images={train: train2017, val: val2017}' 'annotations={train: captions_train2017.json, "
        "val: captions_val2017.json}'"
    ),
    "flickr8k": (
        "mmtx data action=import format=flickr8k out=flickr8k.jsonl images=Flicker8k_Dataset "
        "captions=Flickr8k.token.txt splits.train=Flickr_8k.trainImages.txt "
        "splits.val=Flickr_8k.devImages.txt splits.test=Flickr_8k.testImages.txt"
    ),
    "csv": (
        "mmtx data action=import format=csv out=mine.jsonl captions=mine.csv images=photos "
        "split=train 'columns={image: file, caption: comment}'"
    ),
    "vqa": (
        "mmtx data action=import format=vqa out=vqa.jsonl "
        "'images={train: train2014, val: val2014}' "
        "'questions={train: v2_OpenEnded_mscoco_train2014_questions.json, "
        "val: v2_OpenEnded_mscoco_val2014_questions.json}' "
        "'annotations={train: v2_mscoco_train2014_annotations.json, "
        "val: v2_mscoco_val2014_annotations.json}'"
    ),
    "easy_vqa": "mmtx data action=import format=easy_vqa out=easy_vqa.jsonl",
}


def run(cfg: DictConfig) -> None:
    """Do what ``action`` says; the manifest's path is the last line on standard output.

    Raises:
        ConfigError: if a key is missing or wrong, with an example command.
        DataError: with every fault of the data.
    """
    settings: Settings = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    refuse_foreign_keys(settings, "data", {"path": "manifest"})
    for key in _PATHS:
        if type(settings[key]) in (int, float):  # a name such as 2024, as YAML reads it
            settings[key] = str(settings[key])
    workers = settings["workers"]
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ConfigError(f"workers={workers}: write a whole number from 1 up, e.g. workers=4")
    actions = {"make": _make, "check": _check, "import": _import}
    print(_chosen("action", settings, actions)(settings))


def _make(settings: Settings) -> Path:
    makers: dict[str, Callable[..., Path]] = {
        "scenes": make_scenes,
        "events": make_events,
        "fusion_lab": partial(make_lab, task=settings["task"]),
    }
    make = _chosen("name", settings, makers)
    _require(settings, ("out",), "make")
    for key in ("num", "size", "seed"):
        if type(settings[key]) is not int:
            raise ConfigError(f"{key}={settings[key]}: write a whole number, e.g. {key}=100")
    sizes = {key: settings[key] for key in ("num", "size", "seed", "workers")}
    try:
        return make(Path(settings["out"]), **sizes)
    except OSError as error:
        raise ConfigError(f"out={settings['out']}: cannot be written: {error.strerror}") from error


def _check(settings: Settings) -> Path:
    """Sum the data set up, or tell all faults; what many rows share, for the first of them."""
    _require(settings, ("manifest",), "check")
    path = Path(settings["manifest"])
    split = settings["split"]
    if split is not None and not isinstance(split, dict):
        raise ConfigError(
            f"split={split}: to check, give ratios for rows without a split, e.g. "
            "'split={train: 0.8, val: 0.1, test: 0.1}'"
        )
    try:
        summary = check_manifest(
            path,
            root=settings["root"],
            split=split,
            seed=settings["seed"],
            allow_outside_root=settings["allow_outside_root"],
            decode=settings["decode"],
            workers=settings["workers"],
        )
    except DataError as error:
        raise DataError(*without_repeats(error.faults)) from error
    Console().print(summary)
    return path


def _import(settings: Settings) -> Path:
    """Write a manifest, once every row of it is known to be sound, and sum it up."""
    importers: dict[str, Callable[[Settings], Rows]] = {
        "coco": _coco,
        "flickr8k": _flickr8k,
        "csv": _csv,
        "vqa": _vqa,
        "easy_vqa": _easy_vqa,
    }
    read = _chosen("format", settings, importers)
    if settings["format"] == "easy_vqa" and not settings["images"]:
        settings["images"] = str(easy_vqa.package_folder())
    _require(settings, ("out", "images"), settings["format"])
    out = Path(settings["out"])
    if out.suffix != ".jsonl":
        raise ConfigError(f"out={out}: name the manifest to write, e.g. out={out / 'data.jsonl'}")
    found = read(settings)
    _check_folders(settings)
    root, allowed = _root(settings), settings["allow_outside_root"]
    rows = [(place, _with_absolute_paths(row)) for place, row in found]
    card = read_card(card_path(out))
    if faults := row_faults(rows, home_of(out, root), card, IMPORT_KEYS, allowed):
        raise DataError(*at_most(faults))
    write_manifest(out, (row for _, row in rows), root=root)
    Console().print(summarise(read_manifest(out, check_files=False, allow_outside_root=allowed)))
    return out


def _check_folders(settings: Settings) -> None:
    """Refuse folders of images that are none, before the first row is read."""
    images = settings["images"]
    folders = images if isinstance(images, dict) else {"": images}
    faults = []
    for split, folder in folders.items():
        key = f"images.{split}" if split else "images"
        if not isinstance(folder, str) or not folder:
            faults.append(f"{key}={folder}: write a folder{_example(settings['format'])}")
        elif not os.path.isdir(folder):
            what = "is a file, no folder" if os.path.exists(folder) else "no such folder"
            faults.append(f"{key}={folder}: {what}{_similar_folder(Path(folder))}")
    if faults:
        raise ConfigError(*faults)


def _similar_folder(folder: Path) -> str:
    if not folder.parent.is_dir():
        return f"; there is no folder {folder.parent} either"
    others = {path.name.lower(): path for path in folder.parent.iterdir() if path.is_dir()}
    near = nearest(folder.name, others, 0.6)
    return f"; did you mean {others[near]}?" if near else "; give the folder of the files"


def _coco(settings: Settings) -> Rows:
    files = _by_split("annotations", settings, "coco")
    folders = _image_folders(settings, files, "coco")
    return chain.from_iterable(coco.rows(file, folders[s], s) for s, file in files.items())


def _vqa(settings: Settings) -> Rows:
    questions = _by_split("questions", settings, "vqa")
    folders = _image_folders(settings, questions, "vqa")
    told = _by_split("annotations", settings, "vqa") if settings["annotations"] else {}
    if other := told.keys() - questions.keys():
        raise ConfigError(
            f"annotations.{min(other)}: there are no questions of that split{_example('vqa')}"
        )
    return chain.from_iterable(
        vqa.rows(file, told.get(s), folders[s], s) for s, file in questions.items()
    )


def _easy_vqa(settings: Settings) -> Rows:
    return easy_vqa.rows(_folder(settings, "easy_vqa"), settings["seed"])


def _by_split(key: str, settings: Settings, what: str) -> dict[str, Any]:
    """Return the file of each split: those given so, or one alone of the split that is given."""
    _require(settings, (key,), what)
    files: Any = settings[key]
    if not isinstance(files, dict):
        _require(settings, ("split",), what)
        files = {_split_name(settings, what): files}
    _check_splits(key, files, what)
    return files


def _image_folders(settings: Settings, files: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Return the folder of each split's images."""
    images: Any = settings["images"]
    folders = images if isinstance(images, dict) else dict.fromkeys(files, images)
    if not files.keys() <= folders.keys():
        raise ConfigError(
            f"images={images}: write one folder, or one for each of {', '.join(files)}"
            f"{_example(what)}"
        )
    return folders


def _flickr8k(settings: Settings) -> Rows:
    _require(settings, ("captions",), "flickr8k")
    lists = {split: path for split, path in (settings["splits"] or {}).items() if path}
    _check_splits("splits", lists, "flickr8k")
    return flickr8k.rows(settings["captions"], _folder(settings, "flickr8k"), lists)


def _csv(settings: Settings) -> Rows:
    _require(settings, ("captions",), "csv")
    columns = settings["columns"] or {}
    if not isinstance(columns, dict):
        raise ConfigError(f"columns={columns}: write a column a kind{_example('csv')}")
    return csv_table.rows(
        settings["captions"],
        _folder(settings, "csv"),
        columns,
        split=_split_of_rows(settings),
        delimiter=settings["delimiter"],
    )


def _split_of_rows(settings: Settings) -> str | Callable[[str], str] | None:
    """Return the split of rows that name none: one for all, or by ratios one for each id."""
    ratios, seed = settings["split"], settings["seed"]
    if isinstance(ratios, dict):
        check_ratios(ratios, IMPORT_KEYS.split)
        return lambda ident: split_of(ident, ratios, seed)
    return None if ratios is None else _split_name(settings, "csv")


def _folder(settings: Settings, what: str) -> str:
    if not isinstance(settings["images"], str):
        raise ConfigError(f"images={settings['images']}: write one folder{_example(what)}")
    return settings["images"]


def _split_name(settings: Settings, what: str) -> str:
    if settings["split"] not in SPLITS:
        raise ConfigError(f"split={settings['split']}: write train, val or test{_example(what)}")
    return settings["split"]


def _check_splits(key: str, value: object, what: str) -> None:
    if not isinstance(value, dict) or not value or not set(value) <= set(SPLITS):
        raise ConfigError(f"{key}={value}: write a file a split (train, val, test){_example(what)}")


def _with_absolute_paths(row: Mapping[str, Any]) -> dict[str, Any]:
    present = {key: value for key, value in row.items() if value not in (None, "", [])}
    return {k: os.path.abspath(v) if k in MEDIA else v for k, v in present.items()}


def _root(settings: Settings) -> str:
    """Return the folder that holds all files: what root= says, else what all images share."""
    if settings["root"]:
        return settings["root"]
    images = settings["images"]
    folders = list(images.values()) if isinstance(images, dict) else [images]
    return os.path.commonpath([os.path.abspath(folder) for folder in folders])


def _require(settings: Settings, keys: tuple[str, ...], what: str) -> None:
    missing = [key for key in keys if settings[key] in (None, "", {})]
    if missing:
        raise ConfigError(f"missing: {', '.join(f'{key}=…' for key in missing)}{_example(what)}")


def _chosen(key: str, settings: Settings, choices: Mapping[str, Choice]) -> Choice:
    value = settings[key]
    if value in choices:
        return choices[value]
    near = nearest(str(value), choices, 0.6)
    hint = f"did you mean {near}?" if near else f"write one of {', '.join(choices)}"
    said = f"{key} is missing" if value is None else f"{key}={value} is unknown"
    raise ConfigError(f"{said}; {hint}{_example(near or next(iter(choices)))}")


def _example(what: str) -> str:
    return f"\n  e.g. {_EXAMPLE[what]}" if what in _EXAMPLE else ""
