"""Rows of JSON documents and JSON Lines."""

import json
from collections.abc import Iterator
from typing import Any

from mmtx_cli.errors import DataError
from mmtx_cli.io.jsonl import RepeatedKeyError, parsed_json
from mmtx_cli.scoring.files.caption_file import CaptionFile, Media
from mmtx_cli.scoring.files.texts import id_of, shown

Placed = tuple[str, dict[str, Any]]


def json_rows(file: CaptionFile, text: str) -> Iterator[Placed]:
    """Yield each row of JSON with its location: file:line, or the file and the entry's number.

    Raises:
        DataError: if it is one invalid document.
    """
    document = _document(file, text)
    if document is None:
        file.form = "JSON Lines"
        found = _lines(file, text)
    else:
        file.form = "JSON"
        found = _entries(file, document)
    for place, row in found:
        if isinstance(row, dict):
            yield place, row
        else:
            file.complete = False
            file.fault(place, f"must be a JSON object {{…}}, not {json.dumps(row)[:40]}")


def _document(file: CaptionFile, text: str) -> Any:
    """Return the content of one JSON document; None for JSON Lines. Raises DataError if it is
    invalid.
    """
    first = text.lstrip().split("\n", 1)[0]
    try:
        row = parsed_json(first)
        if not isinstance(row, list) and "annotations" not in row and not _is_by_id(row):
            return None
    except (ValueError, TypeError, RecursionError):
        pass  # a document that spans several lines, or an invalid first line
    try:
        return parsed_json(text)
    except RecursionError:
        raise DataError(f"{file.path}: nested too deeply to be a caption file") from None
    except ValueError as error:
        if not first.startswith("[") and first.strip() != "{" and '"annotations"' not in text:
            return None
        if isinstance(error, RepeatedKeyError):
            raise DataError(f"{file.path}: {error}") from None
        line, what = getattr(error, "lineno", 1), getattr(error, "msg", error)
        raise DataError(f"{file.path}:{line}: invalid JSON: {what}") from None


def _is_by_id(document: Any) -> bool:
    """Return whether a document maps ids to captions, as pycocoevalcap takes them."""
    if not isinstance(document, dict) or len(document) < 2 or not _KNOWN.isdisjoint(document):
        return False
    return all(
        isinstance(value, list) and value and all(isinstance(own, str) for own in value)
        for value in document.values()
    )


_KNOWN = frozenset(("id", "image_id", "caption", "captions", "images", "annotations", "path"))


def _entries(file: CaptionFile, document: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a JSON document: a list, COCO annotations, or a single row."""
    if _is_by_id(document):
        file.form = "JSON, captions by id"
        for number, (name, captions) in enumerate(document.items()):
            yield f"{file.path}: entry {number}", {"id": name, "captions": captions}
        return
    if isinstance(document, dict) and "annotations" not in document:
        document = [document]
    if isinstance(document, dict):
        _read_images(file, document.get("images") or [])
        file.form = "COCO annotations"
        document = document["annotations"]
    if not isinstance(document, list):
        raise DataError(f"{file.path}: annotations must be a list")
    for number, entry in enumerate(document):
        yield f"{file.path}: entry {number}", entry


def _read_images(file: CaptionFile, images: Any) -> None:
    """Record the ids of COCO images, which must have captions, and their files."""
    if not isinstance(images, list):
        raise DataError(f"{file.path}: images must be a list")
    for number, image in enumerate(images):
        if not isinstance(image, dict) or "id" not in image:
            continue
        if (found := id_of(image["id"])) is None:
            file.complete = False
            file.fault(f"{file.path}: image {number}", f"id is {shown(image['id'])}, which is none")
            continue
        name = found[0]
        file.places.setdefault(name, f"{file.path}: image {name}")
        file.captions.setdefault(name, [])
        path = image.get("file_name")
        if isinstance(path, str) and path:
            file.media[name] = Media({"image": (path,)})


def _lines(file: CaptionFile, text: str) -> Iterator[tuple[str, Any]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        place = f"{file.path}:{number}"
        try:
            yield place, parsed_json(line)
        except RepeatedKeyError as error:
            file.complete = False
            file.fault(place, str(error))
        except (ValueError, RecursionError) as error:
            file.complete = False
            what = getattr(error, "msg", error)
            file.fault(place, f"invalid JSON: {what}; write one object per line")
