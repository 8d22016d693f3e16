"""Readers of reference and predicted captions: COCO JSON or JSON Lines."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtx_cli.errors import MAX_SHOWN, DataError
from mmtx_cli.io.jsonl import RepeatedKeyError, parsed_json
from mmtx_cli.io.untrusted.bounded_file import (
    MAX_DOCUMENT_BYTES,
    RefusedFileError,
    check_document,
    read_bytes,
)

_REFERENCE = 'expected {"id": …, "captions": ["…", …]}, or COCO {"image_id", "caption"}'
_PREDICTION = 'expected {"id": …, "caption": "…"}, or COCO {"image_id", "caption"}'


@dataclass
class CaptionFile:
    """The captions of each id in a file, in file order, and every error found in it."""

    path: Path
    captions: dict[str, list[str]] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)  # file:line of the first row with an id
    faults: list[str] = field(default_factory=list)
    complete: bool = True  # False: some row has no readable id, so ids may be missing

    def fault(self, place: str, what: str) -> None:
        """Record an error."""
        self.faults.append(f"{place}: {what}")

    def messages(self) -> list[str]:
        """Return the first errors, then the number of further ones."""
        more = len(self.faults) - MAX_SHOWN
        return self.faults[:MAX_SHOWN] + ([f"… and {more} more in {self.path}"] if more > 0 else [])


def read_references(path: str | Path, split: str | None = None) -> CaptionFile:
    """Read references: COCO captions, JSON Lines of ids with captions, or an mmtx manifest.

    ``split`` selects the rows of one split of a manifest. Raises DataError if the file cannot be
    read at all; other errors are recorded in the result.
    """
    file = CaptionFile(Path(path))
    splits: set[str] = set()
    for place, row in _rows(file):
        if split is not None:
            splits.add(str(row.get("split")))
            if row.get("split") != split:
                continue
        name = _id(file, place, row, _REFERENCE)
        if name is None:
            continue
        if "captions" in row:
            if name in file.places:
                file.fault(place, f"duplicate id {name}, first at {file.places[name]}")
            captions = row["captions"]
        else:
            captions = [row["caption"]] if "caption" in row else []
        file.places.setdefault(name, place)
        _add_references(file, place, name, captions)
    for name, captions in file.captions.items():
        if not captions:
            file.fault(file.places[name], f"id {name} has no reference caption; {_REFERENCE}")
    if split is not None and split not in splits:
        known = ", ".join(sorted(splits - {"None"})) or "none"
        file.faults = [f"{path}: no row has split={split}; splits in the file: {known}"]
        file.complete = False
    return file


def _add_references(file: CaptionFile, place: str, name: str, captions: Any) -> None:
    stored = file.captions.setdefault(name, [])
    if not isinstance(captions, list) or not all(isinstance(caption, str) for caption in captions):
        file.fault(place, f"id {name}: captions must be a list of strings; {_REFERENCE}")
        stored.append("")  # a placeholder, so that the missing reference is not reported as well
    elif not all(caption.strip() for caption in captions):
        file.fault(place, f"id {name} has an empty reference caption; fill it in or remove it")
        stored.append("")
    else:
        stored += captions


def read_predictions(path: str | Path) -> CaptionFile:
    """Read predictions: COCO results, JSON Lines, or ``predictions.jsonl`` of ``mmtx eval``.

    Raises DataError if the file cannot be read at all; other errors are recorded in the result.
    """
    file = CaptionFile(Path(path))
    for place, row in _rows(file):
        name = _id(file, place, row, _PREDICTION)
        if name is None:
            continue
        if name in file.places:
            file.fault(
                place, f"duplicate prediction of id {name}, first at {file.places[name]}; keep one"
            )
            continue
        file.places[name] = place
        # a row of mmtx eval holds the output of each head: {"id", HEAD: {"caption", …}}
        heads = [part for part in row.values() if isinstance(part, dict) and "caption" in part]
        caption = row.get("caption")
        if not isinstance(caption, str):
            caption = heads[0]["caption"] if len(heads) == 1 else None
        if not isinstance(caption, str):
            file.fault(place, f"id {name} has no caption string; {_PREDICTION}")
            caption = ""
        file.captions[name] = [caption]
    return file


def _id(file: CaptionFile, place: str, row: dict[str, Any], form: str) -> str | None:
    """Return the id of a row as a string; if it has none, record the error and return None."""
    name = row.get("image_id", row.get("id"))
    if isinstance(name, str | int) and not isinstance(name, bool) and name != "":
        return str(name)
    file.complete = False
    if "path" in row and "caption" in row:
        form = "rows of mmtx caption have a path instead; use predictions.jsonl of mmtx eval"
    file.fault(place, f"row has no id; {form}")
    return None


def _rows(file: CaptionFile) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each row with its location: file:line, or the file and the number of the entry."""
    text = _text(file.path)
    if not text.strip():
        file.complete = False
        file.fault(str(file.path), "file is empty; write one JSON object per line")
        return
    document = _document(file, text)
    found = _lines(file, text) if document is None else _entries(file, document)
    for place, row in found:
        if isinstance(row, dict):
            yield place, row
        else:
            file.complete = False
            file.fault(place, f"must be a JSON object {{…}}, not {json.dumps(row)[:40]}")


def _text(path: Path) -> str:
    data = b""
    try:
        data = read_bytes(path, MAX_DOCUMENT_BYTES)
        check_document(data)
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}:{line}: invalid UTF-8; save the file as UTF-8") from None
    except RefusedFileError as error:
        raise DataError(f"{path}: {error}; pass a JSON or JSON Lines file") from None
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise DataError(f"{path}: {reason}; pass a JSON or JSON Lines file") from None


def _document(file: CaptionFile, text: str) -> Any:
    """Return the content of one JSON document; None for JSON Lines. Raises DataError if it is
    invalid.
    """
    first = text.lstrip().split("\n", 1)[0]
    try:
        row = parsed_json(first)
        if not isinstance(row, list) and "annotations" not in row:
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


def _entries(file: CaptionFile, document: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a JSON document: a list, COCO annotations, or a single row."""
    if isinstance(document, dict) and "annotations" not in document:
        document = [document]
    if isinstance(document, dict):
        images = document.get("images") or []
        if not isinstance(images, list):
            raise DataError(f"{file.path}: images must be a list")
        for image in images:
            if isinstance(image, dict) and "id" in image:
                name = str(image["id"])
                file.places.setdefault(name, f"{file.path}: image {name}")
                file.captions.setdefault(name, [])
        document = document["annotations"]
    if not isinstance(document, list):
        raise DataError(f"{file.path}: annotations must be a list")
    for number, entry in enumerate(document):
        yield f"{file.path}: entry {number}", entry


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
