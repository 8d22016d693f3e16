"""One row of a JSON Lines file."""

import json
from collections.abc import Mapping
from typing import Any


def json_line(row: Mapping[str, Any]) -> str:
    """The row in one line, its letters as they are.

    A file name that is not UTF-8 (Python keeps its bytes as lone surrogates) is written with
    escapes, from which ``json.loads`` makes the same name again.
    """
    text = json.dumps(row, ensure_ascii=False)
    return text if text.isascii() or _is_utf8(text) else json.dumps(row)


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
