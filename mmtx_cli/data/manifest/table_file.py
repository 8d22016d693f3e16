"""Reading of manifest files (JSON Lines, CSV, TSV, Parquet) as raw rows with line numbers."""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from mmtx_cli.errors import DataError
from mmtx_cli.io.jsonl import RepeatedKeyError, parsed_json
from mmtx_cli.io.table_suffixes import SUFFIXES
from mmtx_cli.suggest import closest

# line number, and the row or the fault of that line
Line = tuple[int, dict[str, Any] | str]
MAX_LINE = 16 * 2**20
"""Maximum length of a line, and of a CSV cell, in bytes."""
MAX_COLUMNS = 100_000
MAX_KEYS = 10_000
"""Maximum numbers of columns of a table, and of keys of a JSON row."""
TOO_LONG = f"longer than {MAX_LINE:,} bytes; write one row per line"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_BOM = b"\xef\xbb\xbf"


def is_text_table(path: Path) -> bool:
    """Return True for CSV and TSV, whose cells are untyped text."""
    return path.suffix.lower() in (".csv", ".tsv")


def read_lines(path: Path) -> Iterator[Line]:
    """Yield (line, row or fault); lines count from 1, and Parquet rows are numbered likewise.

    Raises:
        DataError: if the file does not exist or has an unsupported format.
    """
    check_exists(path)
    match path.suffix.lower():
        case ".jsonl" | ".ndjson":
            return iter(JsonLines(path))
        case ".csv":
            return csv_rows(path, ",")
        case ".tsv":
            return csv_rows(path, "\t")
        case ".parquet":
            return parquet_rows(path)
    raise DataError(f"{path}: not a manifest, which is a table of samples; {_conversion(path)}")


def _conversion(path: Path) -> str:
    """Return how to convert a file of another format to a manifest."""
    others = {".json": ("coco",), ".txt": ("flickr8k", "csv")}.get(path.suffix.lower())
    if others:
        ways = " or ".join(f"`mmtx data action=import importer={name}`" for name in others)
        return f"convert captions in another format with {ways}"
    return f"write one that lists the files, as one of {', '.join(SUFFIXES)}"


def check_exists(
    path: Path,
    what: str = "manifest",
    suffixes: Sequence[str] = SUFFIXES,
    remedy: str = "create one with `mmtx data action=create`",
) -> None:
    """Raise DataError if ``path`` is not a file, suggesting similar or contained files.

    Args:
        path: The path to check.
        what: What the file should be, for the message.
        suffixes: Suffixes of the files to suggest.
        remedy: End of the message if no file has a similar name.
    """
    if path.is_file():
        return
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix.lower() in suffixes)
        hint = f"; use a file in it: {', '.join(inside[:5])}" if inside else ""
        raise DataError(f"{path}: is a folder, not a {what}{hint}")
    if not path.parent.is_dir():
        raise DataError(f"{path}: {what} not found; folder {path.parent} does not exist")
    others = [p.name for p in path.parent.iterdir() if p.suffix.lower() in suffixes]
    near = closest(path.name, others, cutoff=0.5)
    raise DataError(f"{path}: {what} not found; {f'did you mean {near}?' if near else remedy}")


class JsonLines:
    """The rows of a JSON Lines file, or of whole lines between two of its bytes.

    Args:
        path: The file.
        start: Position of the first line; lines count from 1 there.
        end: Position after the last line; None for the end of the file.
    """

    def __init__(self, path: Path, start: int = 0, end: int | None = None) -> None:
        self.path, self.start, self.end = path, start, end
        self.num_lines = 0
        """Lines read so far."""
        self.stopped = False
        """Whether a fault makes the rest of the file unreadable."""

    def __iter__(self) -> Iterator[Line]:
        with self.path.open("rb") as file:
            file.seek(self.start)
            position = self.start
            while position != self.end and (raw := file.readline(MAX_LINE + 1)):
                self.num_lines += 1
                position += len(raw)
                yield from self._line(raw)
                if self.stopped:
                    return

    def _line(self, raw: bytes) -> Iterator[Line]:
        number, first = self.num_lines, self.start == 0 and self.num_lines == 1
        if len(raw) > MAX_LINE:
            self.stopped = True
            yield number, TOO_LONG
            return
        if first:
            if raw.startswith(_UTF16):
                self.stopped = True
                yield 1, "encoded as UTF-16; save the file as UTF-8"
                return
            raw = raw.removeprefix(_BOM)
        if not raw.strip():
            return
        row = _parsed(raw)
        # a JSON array over the whole file: more faults would add nothing
        self.stopped = first and isinstance(row, str) and raw.lstrip().startswith(b"[")
        yield number, row


def _parsed(raw: bytes) -> dict[str, Any] | str:
    try:
        row = parsed_json(raw.decode("utf-8").rstrip())
    except UnicodeDecodeError as error:
        return f"not UTF-8 at byte {error.start + 1}; save the file as UTF-8"
    except json.JSONDecodeError as error:
        if raw.lstrip().startswith(b"["):
            return "a JSON array; write one JSON object per line, without a list around them"
        return f"invalid JSON at column {error.colno}: {error.msg}; write one JSON object per line"
    except RepeatedKeyError as error:
        return str(error)
    except (ValueError, RecursionError) as error:
        return f"cannot read JSON: {error}; write one flat JSON object per line"
    if not isinstance(row, dict):
        what = "array" if isinstance(row, list) else type(row).__name__
        return f'a JSON {what}, not an object; write {{"id": …, "image": …}}'
    if len(row) > MAX_KEYS:
        return f"{len(row):,} keys; a row has at most {MAX_KEYS:,}"
    return row


def csv_rows(
    path: Path, delimiter: str, quoting: bool = True, numbered: int | None = None
) -> Iterator[Line]:
    """Yield the rows of a CSV file as text cells by column name.

    Args:
        path: The file.
        delimiter: The cell separator.
        quoting: If False, quotes are ordinary characters, and the last column takes the rest of
            the line, including delimiters.
        numbered: Minimum number of columns of a file without a header, whose columns are named
            ``1``, ``2`` and so on; None if there is a header.
    """
    if (fault := _encoding_fault(path)) is not None:
        yield fault
        return
    csv.field_size_limit(MAX_LINE)  # the default limit is 128 KiB per cell
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from _csv_rows(file, delimiter, quoting, numbered)


def _csv_rows(file: TextIO, delimiter: str, quoting: bool, numbered: int | None) -> Iterator[Line]:
    reader = csv.reader(
        _bounded_lines(file),
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
                if len(header) > MAX_COLUMNS:
                    yield line, f"{len(header):,} columns; a table has at most {MAX_COLUMNS:,}"
                    return
                if duplicates := {name for name, n in Counter(header).items() if name and n > 1}:
                    yield line, f"column {min(duplicates)} occurs twice; rename or remove one"
                    return
            elif header is not None and len(cells) > len(header):
                yield line, f"{len(cells)} cells for {len(header)} columns; quote cells with commas"
            elif header is not None and any(cells) and len(cells) < len(header):
                fault = f"{len(cells)} cells for {len(header)} columns; add the missing ones, or "
                yield line, f"{fault}quote a cell that spans several lines"
            elif header is not None and any(cells):
                yield line, {k: v for k, v in zip(header, cells, strict=True) if k}
            line = reader.line_num + 1
    except csv.Error as error:
        yield line, f"invalid CSV: {error}; close the quote, or double quotes inside a cell"


def _bounded_lines(file: TextIO) -> Iterator[str]:
    while line := file.readline(MAX_LINE + 1):
        if len(line) > MAX_LINE:
            raise csv.Error(TOO_LONG)
        yield line


def _encoding_fault(path: Path) -> tuple[int, str] | None:
    """Return the fault of the first line that is not UTF-8 or is too long, or None."""
    with path.open("rb") as file:
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            if number == 1 and raw.startswith(_UTF16):
                return 1, "encoded as UTF-16; save the file as UTF-8"
            if len(raw) > MAX_LINE:
                return number, TOO_LONG
            try:
                raw.decode("utf-8")
            except UnicodeDecodeError:
                return 1, f"not UTF-8 on line {number}; save the file as UTF-8"
    return None


def parquet_rows(path: Path) -> Iterator[Line]:
    """Yield the rows of a Parquet file, numbered from 1."""
    import pyarrow
    import pyarrow.parquet as parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=4096):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (pyarrow.ArrowException, OSError) as error:
        yield number + 1, f"cannot read Parquet: {error}; write the file again"
