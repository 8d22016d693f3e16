"""Reading of JSON annotation files, with one-line error messages."""

import json
from pathlib import Path
from typing import Any

from mmtx_cli.data.manifest.cell_parsers import is_encodable
from mmtx_cli.errors import DataError
from mmtx_cli.io.jsonl import parsed_json
from mmtx_cli.io.untrusted.bounded_file import (
    MAX_DOCUMENT_BYTES,
    RefusedFileError,
    check_document,
    read_bytes,
)

MAX_ID = 10**100
"""Larger numbers are not ids: their digits would end up in file names and messages."""


def read_json(path: str | Path, remedy: str) -> Any:
    """Return the content of a JSON file.

    ``remedy`` ends the message if the file is missing or refused.

    Raises:
        DataError: naming the file and, for syntax errors, the line.
    """
    path = Path(path)
    try:
        data = read_bytes(path, MAX_DOCUMENT_BYTES)
        check_document(data)
        return parsed_json(data.decode("utf-8"))
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {remedy}") from error
    except RefusedFileError as error:
        raise DataError(f"{path}: {error}; {remedy}") from error
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}"
        raise DataError(f"{where}: invalid JSON: {error.msg}; download the file again") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8; download the file again") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: cannot read JSON: {error}") from error


def is_id(value: object) -> bool:
    """Return True for an encodable text or an integer below ``MAX_ID``."""
    if isinstance(value, str):
        return is_encodable(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_ID
