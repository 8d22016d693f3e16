"""Rows of tables: CSV, TSV, Parquet and Excel."""

import csv
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from mmtx_cli.data.manifest.table_file import Line, csv_rows, parquet_rows
from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted.bounded_file import MAX_DOCUMENT_BYTES, RefusedFileError
from mmtx_cli.io.untrusted.zip_file import check_index, check_packing
from mmtx_cli.scoring.files.caption_file import CaptionFile, Columns
from mmtx_cli.scoring.files.forms import CAPTION_NAMES, is_known

_DELIMITERS = {"\t": "TSV", ",": "CSV", ";": "CSV, separated by semicolons"}


def delimiter_of(first: str, columns: Columns) -> str | None:
    """Return the separator of a table, given its first line; None if it is no table's header.

    It is one if columns are requested, or if names of ids and captions are among its cells.
    """
    wanted = {str(column) for column in columns.values()}
    if any(type(column) is int for column in columns.values()):
        return next((mark for mark in _DELIMITERS if mark in first), ",")
    for mark in _DELIMITERS:
        try:
            cells = next(csv.reader([first], delimiter=mark), [])
        except csv.Error:
            continue
        names = {cell.strip() for cell in cells}
        known = {name for name in map(str.lower, names) if is_known(name)}
        if len(cells) == 1 and known & CAPTION_NAMES and mark == ",":
            return mark
        if len(cells) > 1 and (wanted or len(known) > 1 or (known and mark == "\t")):
            return mark
    return None


def text_rows(
    file: CaptionFile, delimiter: str, columns: Columns
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a CSV or TSV file as text by column name, or by number without a header."""
    numbers = [column for column in columns.values() if type(column) is int]
    file.form = _DELIMITERS[delimiter]
    rows = csv_rows(file.path, delimiter, numbered=max(numbers) if numbers else None)
    return _placed(file, rows)


def stored_rows(file: CaptionFile) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of a Parquet file."""
    file.form = "Parquet"
    return _placed(file, parquet_rows(file.path))


def sheet_rows(file: CaptionFile) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the rows of the first sheet of an Excel file, whose first row has the column names.

    Raises:
        DataError: if openpyxl is missing, or it is no Excel file.
    """
    file.form = "Excel"
    try:
        from openpyxl import load_workbook
    except ImportError as error:
        raise DataError(
            f"{file.path}: reading Excel needs openpyxl; pip install mmtx[xlsx], or save the table "
            "as TSV (VLMEvalKit: PRED_FORMAT=tsv)"
        ) from error
    try:
        _check_size(file.path)
        book = load_workbook(file.path, read_only=True, data_only=True)
        sheet = book.worksheets[0]
        cells = sheet.iter_rows(values_only=True)
        header = [str(cell).strip() if cell is not None else "" for cell in next(cells, ())]
        repeated = sorted({name for name in header if name and header.count(name) > 1})
        if repeated:
            file.fault(f"{file.path}:1", f"column {repeated[0]} occurs twice; rename one")
            return
        for number, row in enumerate(cells, start=2):
            if any(cell is not None for cell in row):
                values = zip(header, row, strict=False)
                yield (
                    f"{file.path}:{number}",
                    {name: "" if cell is None else cell for name, cell in values if name},
                )
        book.close()
    except RefusedFileError as error:
        raise DataError(f"{file.path}: {error}; save the table as TSV") from error
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, IndexError, SyntaxError) as error:
        raise DataError(
            f"{file.path}: cannot read Excel: {error}; save the table as TSV"
        ) from error


def _check_size(path: Path) -> None:
    check_index(path)
    with zipfile.ZipFile(path) as archive:
        check_packing(archive)
        if sum(entry.file_size for entry in archive.infolist()) > MAX_DOCUMENT_BYTES:
            raise RefusedFileError(f"larger than {MAX_DOCUMENT_BYTES:,} bytes when unpacked")


def _placed(file: CaptionFile, rows: Iterable[Line]) -> Iterator[tuple[str, dict[str, Any]]]:
    for line, row in rows:
        if isinstance(row, str):
            file.complete = False
            file.fault(f"{file.path}:{line}", row)
        else:
            yield f"{file.path}:{line}", row
