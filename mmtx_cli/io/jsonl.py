"""Write and read rows of JSON Lines files."""

import json
import math
from collections import Counter
from collections.abc import Mapping
from typing import Any


def json_line(row: Mapping[str, Any]) -> str:
    """Return the row as one line without ASCII escapes; raise ValueError for NaN and infinities.

    A file name that is not UTF-8 (Python represents its bytes as lone surrogates) is written with
    escapes, so that ``json.loads`` restores the same name.
    """
    text = json.dumps(row, ensure_ascii=False, allow_nan=False)
    return text if text.isascii() or _is_utf8(text) else json.dumps(row, allow_nan=False)


def finite(value: Any) -> Any:
    """Return plain data with ``None`` in place of NaN and infinities, which JSON does not support.

    An undefined metric, such as a correlation with a constant, is written as null.
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: finite(item) for key, item in value.items()}
    return [*map(finite, value)] if isinstance(value, list | tuple) else value


MAX_DEPTH = 64
"""Maximum nesting depth of lists and objects in a JSON document."""


class RepeatedKeyError(ValueError):
    """A JSON object contains a key twice."""

    def __init__(self, key: str) -> None:
        super().__init__(f"duplicate key {key!r} in an object; rename or remove one")


def parsed_json(text: str) -> Any:
    """Parse a JSON document.

    Raises:
        RepeatedKeyError: if an object has a key twice; ``json.loads`` would drop the first value.
        ValueError: if it is not JSON (json.JSONDecodeError has the position), or a number is too
            long.
        RecursionError: if it has more than ``MAX_DEPTH`` levels.
    """
    if text.startswith("\ufeff"):
        json.loads(text)  # raises JSONDecodeError
    value = _DECODER.decode(text)
    if text.count("[") + text.count("{") > MAX_DEPTH and _is_deeper(value, MAX_DEPTH):
        raise RecursionError(f"nested deeper than {MAX_DEPTH} levels")
    return value


def _is_deeper(value: Any, levels: int) -> bool:
    """Return True if lists or objects are nested deeper than ``levels``; JSON has no cycles."""
    level = [value] if isinstance(value, (dict, list)) else []
    for _ in range(levels):
        children = (v.values() if isinstance(v, dict) else v for v in level)
        level = [v for items in children for v in items if isinstance(v, (dict, list))]
        if not level:
            return False
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    row = dict(pairs)
    if len(row) < len(pairs):
        number = Counter(key for key, _ in pairs)
        raise RepeatedKeyError(next(key for key in row if number[key] > 1))
    return row


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
"""One for all rows: ``json.loads`` would create it for each."""


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
