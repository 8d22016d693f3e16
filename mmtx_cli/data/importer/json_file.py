"""JSON files of public data sets, read whole; what is wrong with one is said in a line."""

import json
from pathlib import Path
from typing import Any

from mmtx_cli.data.manifest.cell_parsers import is_encodable
from mmtx_cli.errors import DataError
from mmtx_cli.io.jsonl import parsed_json
from mmtx_cli.io.untrusted_file import (
    MAX_DOCUMENT_BYTES,
    RefusedFileError,
    check_document,
    read_bytes,
)

MAX_ID = 10**100
"""A number beyond it is no id: thousands of digits would go into file names and messages."""


def read_json(path: str | Path, remedy: str) -> Any:
    """Return the content of a JSON file; ``remedy`` says what to do where there is none.

    Raises:
        DataError: naming the file, and the line where it has one.
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
        raise DataError(f"{where}: not JSON: {error.msg}; download the file anew") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8; download the file anew") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON that can be read: {error}") from error


def is_id(value: object) -> bool:
    """Is it a number or a name?"""
    if isinstance(value, str):
        return is_encodable(value)
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < MAX_ID
