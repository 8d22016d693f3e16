"""The rows of a file, whatever its format, which is found by its content, not by its name."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted.bounded_file import (
    MAX_DOCUMENT_BYTES,
    RefusedFileError,
    check_document,
    read_bytes,
)
from mmtx_cli.scoring.files.caption_file import CaptionFile, Columns
from mmtx_cli.scoring.files.documents import json_rows
from mmtx_cli.scoring.files.tables import delimiter_of, sheet_rows, stored_rows, text_rows

Rows = Iterator[tuple[str, dict[str, Any]]]
TEXT = "plain text"
LINE = "line"
"""Key of the caption in the rows of plain text."""
FLICKR = "Flickr8k captions"

_FORMATS = "JSON, JSON Lines, CSV, TSV, Parquet, Excel, or a caption a line"
_TOKEN_LINE = re.compile(r"[^\t]+#\d+\t.*")
_TABLE_LINE = re.compile(r"[^\t]*\t.*|\d+[,;].*|[^\s,;]+\.[A-Za-z0-9]{2,4}[,;].*")
_SAMPLED = 200
_BINARY = {
    b"\x80": "a pickle, which can run code; save the table as TSV (VLMEvalKit: PRED_FORMAT=tsv)",
    b"\x1f\x8b": "compressed; unpack it first",
}


def rows_of(file: CaptionFile, columns: Columns) -> Rows:
    """Yield each row of a file with its location; record its format and its errors.

    Raises:
        DataError: if the file cannot be read at all.
    """
    data = _bytes(file)
    if data.startswith(b"PAR1"):
        return stored_rows(file)
    if data.startswith(b"PK\x03\x04"):
        return sheet_rows(file)
    for start, what in _BINARY.items():
        if data.startswith(start):
            raise DataError(f"{file.path}: is {what}")
    text = _decoded(file, data)
    del data
    if not text.strip():
        file.complete = False
        file.fault(str(file.path), "file is empty; write one JSON object per line")
        return iter(())
    lines = text.split("\n")
    if _is_json(lines):
        del lines
        return json_rows(file, text)
    del text
    first = next(line for line in lines if line.strip())
    if (delimiter := delimiter_of(first.rstrip("\r"), columns)) is not None:
        return text_rows(file, delimiter, columns)
    return _text_rows(file, lines)


def peeked(rows: Rows, number: int = 20) -> tuple[list[tuple[str, dict[str, Any]]], Rows]:
    """Return the first rows, and the rows from there on."""
    first = [*islice(rows, number)]
    return first, rows


def _bytes(file: CaptionFile) -> bytes:
    try:
        data = read_bytes(file.path, MAX_DOCUMENT_BYTES)
        check_document(data)
    except RefusedFileError as error:
        raise DataError(f"{file.path}: {error}; pass a file of captions: {_FORMATS}") from None
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise DataError(f"{file.path}: {reason}; pass a file of captions: {_FORMATS}") from None
    return data


def _decoded(file: CaptionFile, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{file.path}: encoded as UTF-16; save the file as UTF-8")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(f"{file.path}:{line}: invalid UTF-8; save the file as UTF-8") from None
    if "\n" not in text and "\r" in text.strip():
        raise DataError(
            f"{file.path}: its lines end with a carriage return only; save the file with line "
            "feeds (\\n)"
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise DataError(f"{file.path}:{line}: contains a NUL character; pass {_FORMATS}")
    return text


def _is_json(lines: list[str]) -> bool:
    """Return whether the text is JSON, whole or by line, even if its first line is damaged."""
    written = [line for line in lines[:_SAMPLED] if line.strip()]
    if written[0].lstrip().startswith(("{", "[") if len(written) > 1 else ("{", "[", '"')):
        return True
    return 2 * sum(line.lstrip().startswith("{") for line in written) > len(written)


def _text_rows(file: CaptionFile, lines: list[str]) -> Rows:
    """Yield the lines of plain text, each a caption.

    Raises:
        DataError: if it is a table without a known header.
    """
    lines = [line.removesuffix("\r") for line in lines]
    if not lines[-1]:
        lines.pop()
    written = [line for line in lines[:_SAMPLED] if line.strip()]
    # a damaged line is reported by its number
    if 2 * sum(map(bool, map(_TOKEN_LINE.fullmatch, written))) > len(written):
        file.form = FLICKR
        return _token_rows(file, lines)
    below = written[1:] if len(written) > 2 else written  # the first line may be a header
    if len(written) > 1 and all(map(_TABLE_LINE.fullmatch, below)):
        raise DataError(
            f"{file.path}:1: a table, but its first line names no known columns: "
            f"{written[0][:60]!r}; name them, e.g. 'prediction_columns={{id: file, caption: "
            "comment}', or, without a header, by number: '{id: 1, caption: 2}' (for references: "
            "reference_columns)"
        )
    file.form = TEXT
    return ((f"{file.path}:{number}", {LINE: line}) for number, line in enumerate(lines, start=1))


def _token_rows(file: CaptionFile, lines: Iterable[str]) -> Rows:
    """Yield the lines ``NAME#NUMBER`` TAB caption of Flickr8k and Flickr30k."""
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        name, _, caption = line.partition("\t")
        if not _TOKEN_LINE.fullmatch(line):
            file.complete = False
            file.fault(f"{file.path}:{number}", "expected NAME#NUMBER, a tab and the caption")
            continue
        yield f"{file.path}:{number}", {"id": name.rpartition("#")[0], "caption": caption}
