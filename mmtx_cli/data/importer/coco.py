"""COCO captions: annotation JSON and a folder of images to manifest rows.

Format: https://cocodataset.org/#format-data (captions_train2017.json and its like).
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmtx_cli.error import DataError

_SHOWN = 20


def rows(annotations: str | Path, images: str | Path, split: str) -> Iterator[dict[str, Any]]:
    """Yield a row an image, in the file's order, with all captions of it.

    Image paths begin with the folder ``images``; the id is COCO's own image id.

    Raises:
        DataError: naming the entry, e.g. ``annotations[17]``, if the file is no caption file.
    """
    content = _load(Path(annotations))
    captions: dict[object, list[str]] = defaultdict(list)
    faults = []
    for place, entry in enumerate(content["annotations"]):
        caption = entry.get("caption") if isinstance(entry, dict) else None
        if not isinstance(caption, str) or not caption.strip() or "image_id" not in entry:
            faults.append(f"{annotations}: annotations[{place}]: no caption and image_id")
        else:
            captions[entry["image_id"]].append(" ".join(caption.split()))
    named: dict[object, str] = {}
    for place, entry in enumerate(content["images"]):
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or "id" not in entry:
            faults.append(f"{annotations}: images[{place}]: no id and file_name")
        else:
            named[entry["id"]] = name
    faults += [
        f"{annotations}: image_id {ident!r} has captions, but is not among the images"
        for ident in captions.keys() - named.keys()
    ]
    if faults:
        raise DataError(*faults[:_SHOWN], f"{len(faults)} faults in all; download the file anew")
    folder = Path(images)
    for ident, name in named.items():
        yield {
            "id": str(ident),
            "split": split,
            "image": str(folder / name),
            "captions": captions[ident],
        }


def _load(path: Path) -> dict[str, list[Any]]:
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; annotations= names the COCO JSON") from error
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}"
        raise DataError(f"{where}: not JSON: {error.msg}; download the file anew") from error
    except ValueError as error:
        raise DataError(f"{path}: not UTF-8; download the file anew") from error
    for key in ("images", "annotations"):
        if not isinstance(content, dict) or not isinstance(content.get(key), list):
            raise DataError(f"{path}: no list {key!r}; give a COCO caption file")
    return content
