"""One row of a JSON Lines file, written and read."""

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


class RepeatedKeyError(ValueError):
    """An object of JSON with two values under one key."""

    def __init__(self, key: str) -> None:
        super().__init__(f"key {key!r} occurs twice in one object; rename or remove one")


def parsed_json(text: str) -> Any:
    """What a JSON text holds.

    Raises:
        RepeatedKeyError: if an object has a key twice: ``json.loads`` would drop the first value.
        ValueError: if it is no JSON (json.JSONDecodeError says where), or a number is too long.
        RecursionError: if it is nested too deeply.
    """
    return json.loads(text, object_pairs_hook=_unique)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        keys = [key for key, _ in pairs]
        raise RepeatedKeyError(next(key for key in row if keys.count(key) > 1))
    return row


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
