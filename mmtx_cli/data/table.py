"""Manifest files as raw rows: JSON Lines, CSV, TSV and Parquet give (line, cells) alike."""

import csv
import io
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.data.name import nearest
from mmtx_cli.error import DataError
from mmtx_cli.json_line import RepeatedKeyError, parsed_json

SUFFIXES = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet")
# a row, or in its place what is wrong with that line
Line = tuple[int, dict[str, Any] | str]
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"


def is_text_table(path: Path) -> bool:
    """Return True for CSV and TSV, whose cells carry no types."""
    return path.suffix.lower() in (".csv", ".tsv")


def read_lines(path: Path) -> Iterator[Line]:
    """Yield each row with its line (from 1; in Parquet the row's number), or that line's fault.

    Raises:
        DataError: if there is no such file, or it is of no format that is read here.
    """
    check_exists(path)
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return _json_lines(path)
        case ".csv":
            return csv_rows(path, ",")
        case ".tsv":
            return csv_rows(path, "\t")
        case ".parquet":
            return _parquet_rows(path)
    raise DataError(f"{path}: no manifest, which is a table of samples; {_conversion(path)}")


def _conversion(path: Path) -> str:
    """Return how a file that is no manifest becomes one, or what a manifest is."""
    others = {".json": ("coco",), ".txt": ("flickr8k", "csv")}.get(path.suffix.lower())
    if others:
        ways = " or ".join(f"`mmtx data action=import format={name}`" for name in others)
        return f"convert captions of another form by {ways}"
    return f"write one that names the files, as one of {', '.join(SUFFIXES)}"


def check_exists(
    path: Path,
    what: str = "manifest",
    suffixes: Sequence[str] = SUFFIXES,
    remedy: str = "make one with `mmtx data action=make`",
) -> None:
    """Refuse a path that is no file, naming what lies there instead.

    ``what`` the file should be, and the ``suffixes`` of such files, are for the message;
    ``remedy`` stands in it where no file there has a similar name.
    """
    if path.is_file():
        return
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in suffixes)
        hint = f"; give a file in it: {', '.join(inside[:5])}" if inside else ""
        raise DataError(f"{path}: is a folder, not a {what}{hint}")
    if not path.parent.is_dir():
        raise DataError(f"{path}: no such {what}; there is no folder {path.parent} either")
    others = [p.name for p in path.parent.iterdir() if p.suffix.lower() in suffixes]
    near = nearest(path.name, others, cutoff=0.5)
    raise DataError(f"{path}: no such {what}; {f'did you mean {near}?' if near else remedy}")


def _json_lines(path: Path) -> Iterator[Line]:
    with path.open("rb") as file:
        for number, raw in enumerate(file, 1):
            if number == 1:
                if raw.startswith(_UTF16):
                    yield 1, "encoded as UTF-16; save the file as UTF-8"
                    return
                raw = raw.removeprefix(_BOM)
            if not raw.strip():
                continue
            row = _parsed(raw)
            yield number, row
            if number == 1 and isinstance(row, str) and raw.lstrip().startswith(b"["):
                return  # one JSON array over the whole file: a fault a line would say no more


def _parsed(raw: bytes) -> dict[str, Any] | str:
    try:
        row = parsed_json(raw.decode("utf-8").rstrip())
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}; save the file as UTF-8"
    except json.JSONDecodeError as error:
        if raw.lstrip().startswith(b"["):
            return "a JSON array; write one JSON object a line, with no list around them"
        return f"not JSON at column {error.colno}: {error.msg}; write one JSON object a line"
    except RepeatedKeyError as error:
        return str(error)
    except (ValueError, RecursionError) as error:
        return f"not JSON that can be read: {error}; write one JSON object a line"
    if not isinstance(row, dict):
        what = "array" if isinstance(row, list) else type(row).__name__
        return f'a JSON {what}, not an object; write {{"id": …, "image": …}}'
    return row


def csv_rows(
    path: Path, delimiter: str, quoting: bool = True, numbered: int | None = None
) -> Iterator[Line]:
    """Yield the rows of a CSV file below its header: cells by column, all of them text.

    Args:
        path: The file.
        delimiter: What separates cells.
        quoting: False where quotes are characters like any other; then the last column takes all
            that is left of a line, delimiters included.
        numbered: Of a file without a header, how many columns it has at least; they are called
            ``1``, ``2`` and so on.
    """
    try:
        text = _decoded(path.read_bytes())
    except DataError as error:
        yield 1, str(error)
        return
    csv.field_size_limit(sys.maxsize)  # the default refuses a cell of 128 KiB
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        strict=quoting,
        quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
    )
    header: list[str] | None = None
    line = 1
    try:
        for cells in reader:
            if header is None and numbered is not None and any(cells):
                width = max(numbered, len(cells)) if quoting else numbered
                header = [str(i + 1) for i in range(width)]
            if header is not None and not quoting and len(cells) > len(header):
                last = len(header) - 1
                cells = [*cells[:last], delimiter.join(cells[last:])]
            if header is None and any(cells):
                header = [cell.strip() for cell in cells]
                if twice := {name for name in header if name and header.count(name) > 1}:
                    yield line, f"column {min(twice)} occurs twice; rename or remove one"
                    return
            elif header is not None and len(cells) > len(header):
                yield line, f"{len(cells)} cells for {len(header)} columns; quote cells with commas"
            elif header is not None and any(cells) and len(cells) < len(header):
                fault = f"{len(cells)} cells for {len(header)} columns; add the missing ones, or "
                yield line, f"{fault}quote a cell that is broken over several lines"
            elif header is not None and any(cells):
                yield line, {k: v for k, v in zip(header, cells, strict=True) if k}
            line = reader.line_num + 1
    except csv.Error as error:
        yield line, f"not CSV: {error}; close the quote, or double quotes inside a cell"


def _decoded(raw: bytes) -> str:
    if raw.startswith(_UTF16):
        raise DataError("encoded as UTF-16; save the file as UTF-8")
    try:
        return raw.removeprefix(_BOM).decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"not UTF-8 on line {line}; save the file as UTF-8") from error


def _parquet_rows(path: Path) -> Iterator[Line]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError as error:
        raise DataError(
            f"{path}: reading Parquet needs pyarrow; pip install mmtx[parquet]"
        ) from error
    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        yield number + 1, f"not Parquet that can be read: {error}; write it anew"
