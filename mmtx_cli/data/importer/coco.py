"""Import of COCO captions: annotation JSON and an image folder to manifest rows.

Format: https://cocodataset.org/#format-data (e.g. captions_train2017.json).
"""

from collections import defaultdict
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.formats.json_file import is_id, read_json
from mmtx_cli.data.importer.found import Found, staging_of
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.paths import by_split, image_folders
from mmtx_cli.errors import DataError, truncate

_FIX = "fix the entry, or download the file again"


def read(settings: Settings) -> Found:
    """Return the rows of one file of annotations, or of one per split."""
    files = by_split("annotations", settings)
    folders = image_folders(settings, files)
    found = chain.from_iterable(rows(file, folders[s], s) for s, file in files.items())
    return Found(found, folders.values(), staging_of(settings))


def rows(
    annotations: str | Path, images: str | Path, split: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield one row per image, with its location in the file and its captions, in file order.

    Image paths start with the folder ``images``; the id is COCO's image id.

    Raises:
        DataError: naming the entry, e.g. ``annotations[17]``, if it is not a caption file.
    """
    content = _load(Path(annotations))
    captions, faults = _captions(annotations, content["annotations"])
    named: dict[object, tuple[str, str]] = {}
    for number, entry in enumerate(content["images"]):
        place = f"{annotations}: images[{number}]"
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not is_id(name) or not is_id(entry.get("id")):
            faults.append(f"{place}: id or file_name is missing; {_FIX}")
        elif entry["id"] in named:
            first = named[entry["id"]][0]
            faults.append(f"{place}: id {entry['id']!r} is already used at {first}; {_FIX}")
        else:
            named[entry["id"]] = place, name
    faults += [
        f"{annotations}: image_id {ident!r} has captions, but is not in 'images'; {_FIX}"
        for ident in captions
        if ident not in named
    ]
    if faults:
        raise DataError(*truncate(faults))
    for ident, (place, name) in named.items():
        yield (
            place,
            {
                "id": str(ident),
                "split": split,
                "image": str(Path(images) / name),
                "captions": captions[ident],
            },
        )


def _captions(
    annotations: str | Path, entries: list[Any]
) -> tuple[dict[object, list[str]], list[str]]:
    captions: dict[object, list[str]] = defaultdict(list)
    faults = []
    for number, entry in enumerate(entries):
        caption = entry.get("caption") if isinstance(entry, dict) else None
        if not isinstance(caption, str) or not caption.strip() or not is_id(entry.get("image_id")):
            faults.append(
                f"{annotations}: annotations[{number}]: caption or image_id is missing; {_FIX}"
            )
        else:
            captions[entry["image_id"]].append(" ".join(caption.split()))
    return captions, faults


def _load(path: Path) -> dict[str, list[Any]]:
    content = read_json(path, "set annotations= to the COCO JSON file")
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(f"{path}: no list {key!r}; use a COCO caption file")
    if not content["images"]:
        raise DataError(f"{path}: the list 'images' is empty; use a COCO caption file")
    return content
