"""JSON files of public data sets, read whole; what is wrong with one is said in a line."""

import json
from pathlib import Path
from typing import Any

from mmtx_cli.error import DataError


def read_json(path: str | Path, remedy: str) -> Any:
    """Return the content of a JSON file; ``remedy`` says what to do where there is none.

    Raises:
        DataError: naming the file, and the line where it has one.
    """
    path = Path(path)
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {remedy}") from error
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}"
        raise DataError(f"{where}: not JSON: {error.msg}; download the file anew") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8; download the file anew") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: not JSON that can be read: {error}") from error


def is_id(value: object) -> bool:
    """Is it a number or a name?"""
    return isinstance(value, (int, str)) and not isinstance(value, bool)
