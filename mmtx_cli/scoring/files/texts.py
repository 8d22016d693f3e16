"""Captions in the values of a row: text, lists, and lists written as text."""

import ast
import json
import math
from typing import Any

from mmtx_cli.data.manifest.row_parser import CAPTION_MARK
from mmtx_cli.io.jsonl import parsed_json

_LONGEST_LIST = 1 << 18
_NAN = frozenset(("nan", "NaN", "NAN", "<NA>"))
_FAILED = "Failed to obtain answer via API."
"""Written by VLMEvalKit in place of an answer."""


def is_nan(value: Any) -> bool:
    """Return whether a value is not a number, or is text that stands for it in a table."""
    if isinstance(value, float):
        return math.isnan(value)
    return isinstance(value, str) and value in _NAN


def id_of(value: Any) -> tuple[str, bool] | None:
    """Return an id as text, and whether it is a number; None if it is no id."""
    if isinstance(value, bool) or is_nan(value):
        return None
    if isinstance(value, float) and math.isfinite(value) and value.is_integer():
        return str(int(value)), True  # a column of numbers in which some were missing
    if isinstance(value, int):
        return str(value), True
    return (value, False) if isinstance(value, str) and value != "" else None


def is_failure(caption: str) -> bool:
    """Return whether a caption is the message of a failed request."""
    return caption.strip().startswith(_FAILED)


def predicted(value: Any, is_cell: bool = False) -> str | list[str] | None:
    """Return the caption in a value; a list if there are several, None if there is none.

    lmms-eval writes lists of one text for each request, which are unpacked.

    Args:
        value: A text or a list.
        is_cell: Whether a text may be a list that was written as text, as pandas writes it.
    """
    if is_cell and isinstance(value, str) and (text := value.strip())[:1] == "[":
        found = _list_in(text)
        value = value if found is None else found
    while isinstance(value, list):
        if len(value) > 1:
            return value if all(isinstance(own, str) for own in value) else None
        value = value[0] if value else ""
    return value if isinstance(value, str) else None


def references_in(value: Any, is_cell: bool) -> list[str] | None:
    """Return the references in a value; None if it has another type.

    Args:
        value: A text or a list of texts.
        is_cell: Whether a text may be a list that was written as text: of Python, as lmms-eval and
            VLMEvalKit write it, of JSON, or with `` | `` between captions.
    """
    if isinstance(value, str):
        if not is_cell:
            return [value]
        text = value.strip()
        if text.startswith("[") and text.endswith("]"):
            value = _list_in(text)
            value = [text] if value is None else value
        else:
            return (
                [part.strip() for part in value.split(CAPTION_MARK)]
                if CAPTION_MARK in value
                else [value]
            )
    if isinstance(value, list) and all(isinstance(own, str) for own in value):
        return value
    return None


def _list_in(text: str) -> list[str] | None:
    """Return a list of texts in JSON or Python's notation; None if it is neither."""
    if len(text) > _LONGEST_LIST:
        return None
    try:
        value: Any = parsed_json(text)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
            return None
    if isinstance(value, list) and all(isinstance(own, str) for own in value):
        return value
    return None


def shown(value: Any) -> str:
    """Return a value for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 40 else text[:39] + "…"
