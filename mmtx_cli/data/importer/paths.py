"""Resolution of import paths that are given once or per split."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.options import Settings, example, require
from mmtx_cli.data.manifest.sample import SPLITS
from mmtx_cli.errors import ConfigError
from mmtx_cli.suggest import closest


def by_split(key: str, settings: Settings, what: str) -> dict[str, Any]:
    """Return the path of each split; a single path belongs to the split given by ``split``."""
    require(settings, (key,), what)
    files: Any = settings[key]
    if not isinstance(files, dict):
        require(settings, ("split",), what)
        files = {split_name(settings, what): files}
    check_splits(key, files, what)
    return files


def split_name(settings: Settings, what: str) -> str:
    """Return the split of all rows; raise ConfigError if it is not train, val or test."""
    if settings["split"] not in SPLITS:
        raise ConfigError(f"split={settings['split']}: must be train, val or test{example(what)}")
    return settings["split"]


def check_splits(key: str, value: object, what: str) -> None:
    """Raise ConfigError unless ``value`` maps splits to non-empty paths."""
    if not isinstance(value, dict) or not value or not set(value) <= set(SPLITS):
        raise ConfigError(
            f"{key}={value}: must be one file per split (train, val, test){example(what)}"
        )
    if empty := [split for split, path in value.items() if not path]:
        raise ConfigError(f"{key}.{empty[0]}={value[empty[0]]}: must be one path{example(what)}")


def image_folders(settings: Settings, files: Mapping[str, Any], what: str) -> dict[str, str]:
    """Return the image folder of each split."""
    images: Any = settings["images"]
    if not isinstance(images, dict):
        return dict.fromkeys(files, image_folder(settings, what))
    if not files.keys() <= images.keys():
        raise ConfigError(
            f"images={images}: must be one folder, or one for each of {', '.join(files)}"
            f"{example(what)}"
        )
    check_folders({f"images.{split}": folder for split, folder in images.items()}, what)
    return {split: followed(folder) for split, folder in images.items()}


def image_folder(settings: Settings, what: str) -> str:
    """Return the single image folder."""
    check_folders({"images": settings["images"]}, what)
    return followed(settings["images"])


def followed(folder: str) -> str:
    """Return the target of a symlinked folder, so that it becomes the root of all paths."""
    return os.path.realpath(folder) if os.path.islink(folder.rstrip("/")) else folder


def check_folders(folders: Mapping[str, Any], what: str) -> None:
    """Raise ConfigError for paths that are not folders, naming the key of each."""
    faults = []
    for key, folder in folders.items():
        if not isinstance(folder, str) or not folder:
            faults.append(f"{key}={folder}: must be one folder{example(what)}")
        elif not os.path.isdir(folder):
            said = "is a file, not a folder" if os.path.exists(folder) else "folder not found"
            faults.append(f"{key}={folder}: {said}{_similar_folder(Path(folder))}")
    if faults:
        raise ConfigError(*faults)


def _similar_folder(folder: Path) -> str:
    if not folder.parent.is_dir():
        return f"; folder {folder.parent} does not exist"
    others = {path.name.lower(): path for path in folder.parent.iterdir() if path.is_dir()}
    near = closest(folder.name, others, 0.6)
    return f"; did you mean {others[near]}?" if near else "; use the folder that contains the files"
