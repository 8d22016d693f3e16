"""`mmtx data`: make the built-in data set, check a manifest, import a public data set."""

import os
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from mmtx_cli.data.check import check_manifest
from mmtx_cli.data.importer import coco, csv_table, flickr8k
from mmtx_cli.data.manifest import SPLITS, check_ratios, split_of
from mmtx_cli.data.name import nearest
from mmtx_cli.data.scenes import make_scenes
from mmtx_cli.data.write import MEDIA, write_manifest
from mmtx_cli.error import ConfigError

Settings = dict[str, Any]
Rows = Iterator[dict[str, Any]]
Choice = TypeVar("Choice")

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
}


def run(cfg: DictConfig) -> None:
    """Do what ``action`` says; the manifest's path is the last line on standard output.

    Raises:
        ConfigError: if a key is missing or wrong, with an example command.
        DataError: with every fault of the data.
    """
    settings: Settings = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    actions = {"make": _make, "check": _check, "import": _import}
    print(_chosen("action", settings, actions)(settings))


def _make(settings: Settings) -> Path:
    makers: dict[str, Callable[..., Path]] = {"scenes": make_scenes}
    make = _chosen("name", settings, makers)
    _require(settings, ("out",), "make")
    for key in ("num", "size", "seed"):
        if type(settings[key]) is not int:
            raise ConfigError(f"{key}={settings[key]}: write a whole number, e.g. {key}=100")
    return make(
        Path(settings["out"]),
        num=settings["num"],
        size=settings["size"],
        seed=settings["seed"],
        workers=settings["workers"],
    )


def _check(settings: Settings) -> Path:
    _require(settings, ("manifest",), "check")
    path = Path(settings["manifest"])
    split = settings["split"]
    if split is not None and not isinstance(split, dict):
        raise ConfigError(
            f"split={split}: to check, give ratios for rows without a split, e.g. "
            "'split={train: 0.8, val: 0.1, test: 0.1}'"
        )
    summary = check_manifest(
        path,
        root=settings["root"],
        split=split,
        seed=settings["seed"],
        allow_outside_root=settings["allow_outside_root"],
        decode=settings["decode"],
        workers=settings["workers"],
    )
    Console().print(summary)
    return path


def _import(settings: Settings) -> Path:
    importers: dict[str, Callable[[Settings], Rows]] = {
        "coco": _coco,
        "flickr8k": _flickr8k,
        "csv": _csv,
    }
    read = _chosen("format", settings, importers)
    _require(settings, ("out", "images"), settings["format"])
    out = Path(settings["out"])
    if out.suffix != ".jsonl":
        raise ConfigError(f"out={out}: name the manifest to write, e.g. out={out / 'data.jsonl'}")
    write_manifest(out, map(_with_absolute_paths, read(settings)), root=_root(settings))
    allowed = settings["allow_outside_root"]
    Console().print(check_manifest(out, allow_outside_root=allowed))
    return out


def _coco(settings: Settings) -> Rows:
    _require(settings, ("annotations",), "coco")
    files: Any = settings["annotations"]
    images: Any = settings["images"]
    if not isinstance(files, dict):
        _require(settings, ("split",), "coco")
        files = {_split_name(settings, "coco"): files}
    _check_splits("annotations", files, "coco")
    folders = images if isinstance(images, dict) else dict.fromkeys(files, images)
    if not files.keys() <= folders.keys():
        raise ConfigError(
            f"images={images}: write one folder, or one for each of {', '.join(files)}"
            f"{_example('coco')}"
        )
    return chain.from_iterable(coco.rows(file, folders[s], s) for s, file in files.items())


def _flickr8k(settings: Settings) -> Rows:
    _require(settings, ("captions",), "flickr8k")
    lists = {split: path for split, path in (settings["splits"] or {}).items() if path}
    _check_splits("splits", lists, "flickr8k")
    return flickr8k.rows(settings["captions"], _folder(settings, "flickr8k"), lists)


def _csv(settings: Settings) -> Rows:
    _require(settings, ("captions",), "csv")
    columns, split, seed = settings["columns"] or {}, settings["split"], settings["seed"]
    if not isinstance(columns, dict):
        raise ConfigError(f"columns={columns}: write a column a kind{_example('csv')}")
    ratios = split if isinstance(split, dict) else None
    if ratios is not None:
        check_ratios(ratios)
    rows = csv_table.rows(
        settings["captions"],
        _folder(settings, "csv"),
        columns,
        split=None if split is None or ratios is not None else _split_name(settings, "csv"),
        delimiter=settings["delimiter"],
    )
    for row in rows:
        if row["split"] is None and ratios is None:
            raise ConfigError(
                "split: the CSV has no column of that name; write split=train, or "
                "'split={train: 0.8, val: 0.1, test: 0.1}', or name the column in columns.split"
            )
        yield row if ratios is None else {**row, "split": split_of(row["id"], ratios, seed)}


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
    return {k: os.path.abspath(v) if k in MEDIA else v for k, v in row.items()}


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
