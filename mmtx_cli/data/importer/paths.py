"""Resolution of import paths that are given once or per split."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mmtx_cli.config.help.components import format_value
from mmtx_cli.config.help.yaml_comments import example
from mmtx_cli.data.importer.options import Settings, require
from mmtx_cli.data.manifest.option_names import IMPORT_KEYS
from mmtx_cli.data.manifest.sample import SPLITS
from mmtx_cli.data.manifest.splits import check_ratios, split_of
from mmtx_cli.errors import ConfigError
from mmtx_cli.suggest import closest


def example_of(settings: Settings) -> str:
    """Return an example of the importer on a new line."""
    return example(f"importer/{settings['importer']}")


def by_split(key: str, settings: Settings) -> dict[str, Any]:
    """Return the path of each split; a single path belongs to the split given by ``split``."""
    files: Any = settings[key]
    if isinstance(settings["split"], dict):
        raise ConfigError(
            f"split={format_value(settings['split'])}: ratios are only valid for importer=csv and "
            "importer=folders; name one split for all rows, or one file per split"
            f"{example_of(settings)}"
        )
    if not isinstance(files, dict):
        require(settings, ("split",), f"importer/{settings['importer']}")
        files = {split_name(settings): files}
    check_splits(key, files, settings)
    return files


def split_name(settings: Settings) -> str:
    """Return the split of all rows; raise ConfigError if it is not train, val or test."""
    if settings["split"] not in SPLITS:
        raise ConfigError(
            f"split={settings['split']}: must be train, val or test{example_of(settings)}"
        )
    return settings["split"]


def split_of_rows(settings: Settings) -> str | Callable[[str], str] | None:
    """Return the split of rows without one: a fixed name, or a function of the id for ratios."""
    ratios, seed = settings["split"], settings["seed"]
    if isinstance(ratios, dict):
        check_ratios(ratios, IMPORT_KEYS.split)
        return lambda ident: split_of(ident, ratios, seed)
    return None if ratios is None else split_name(settings)


def check_splits(key: str, value: object, settings: Settings) -> None:
    """Raise ConfigError unless ``value`` maps splits to non-empty paths."""
    if not isinstance(value, dict) or not value or not set(value) <= set(SPLITS):
        raise ConfigError(
            f"{key}={value}: must be one file per split (train, val, test){example_of(settings)}"
        )
    if empty := [split for split, path in value.items() if not path]:
        raise ConfigError(
            f"{key}.{empty[0]}={value[empty[0]]}: must be one path{example_of(settings)}"
        )


def image_folders(settings: Settings, files: Mapping[str, Any]) -> dict[str, str]:
    """Return the image folder of each split."""
    images: Any = settings["images"]
    if not isinstance(images, dict):
        return dict.fromkeys(files, image_folder(settings))
    if not files.keys() <= images.keys():
        raise ConfigError(
            f"images={images}: must be one folder, or one for each of {', '.join(files)}"
            f"{example_of(settings)}"
        )
    check_folders({f"images.{split}": folder for split, folder in images.items()}, settings)
    return {split: resolve_link(folder) for split, folder in images.items()}


def image_folder(settings: Settings) -> str:
    """Return the single image folder."""
    check_folders({"images": settings["images"]}, settings)
    return resolve_link(settings["images"])


def resolve_link(folder: str) -> str:
    """Return the target of a symlinked folder, so that it becomes the root of all paths."""
    return os.path.realpath(folder) if os.path.islink(folder.rstrip("/")) else folder


def check_folders(folders: Mapping[str, Any], settings: Settings) -> None:
    """Raise ConfigError for paths that are not folders, naming the key of each."""
    faults = []
    for key, folder in folders.items():
        if not isinstance(folder, str) or not folder:
            faults.append(f"{key}={folder}: must be one folder{example_of(settings)}")
        elif not os.path.isdir(folder):
            problem = "is a file, not a folder" if os.path.exists(folder) else "folder not found"
            faults.append(f"{key}={folder}: {problem}{_similar_folder(Path(folder))}")
    if faults:
        raise ConfigError(*faults)


def _similar_folder(folder: Path) -> str:
    if not folder.parent.is_dir():
        return f"; folder {folder.parent} does not exist"
    others = {path.name.lower(): path for path in folder.parent.iterdir() if path.is_dir()}
    near = closest(folder.name, others, 0.6)
    return f"; did you mean {others[near]}?" if near else "; use the folder that contains the files"
