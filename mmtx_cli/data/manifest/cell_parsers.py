"""Parsers for single manifest cells (text, numbers, times, JSON) that append faults to a list."""

import json
import math

from mmtx_cli.io.jsonl import RepeatedKeyError, parsed_json
from mmtx_cli.io.unicode import composed


def text_of(name: str, value: object, faults: list[str], expected: str = "text") -> str | None:
    """Return a text, or None if it is absent or blank; append a fault if it is not a text.

    Args:
        name: Key of the cell, for messages.
        value: The cell.
        faults: List to which faults are appended.
        expected: What the user is to write, for the message.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        faults.append(f"{name} is {shown(value)}; expected {expected} in quotes")
        return None
    if not value.isascii() and not is_encodable(value):
        faults.append(f"{name} contains a lone surrogate; use valid characters")
        return None
    return value if value.strip() else None


def words_of(name: str, value: object, faults: list[str], expected: str = "text") -> str | None:
    """Return a text in Unicode NFC, the form in which texts are compared.

    Args: as for ``text_of``.
    """
    text = text_of(name, value, faults, expected)
    return None if text is None else composed(text)


def clean_text(value: object) -> str | None:
    """Return a text in NFC; None for a value that is no text, or blank, or has faults."""
    if type(value) is not str or not value.strip():
        return None
    if value.isascii():
        return value
    return composed(value) if is_encodable(value) else None


def texts_of(name: str, value: object, faults: list[str], expected: str) -> tuple[str, ...]:
    """Return a list of non-blank texts; append a fault for any other item.

    Args: as for ``text_of``.
    """
    if not isinstance(value, list):
        if value is not None:
            faults.append(f"{name} is {shown(value)}; expected {expected}")
        return ()
    texts = []
    for position, item in enumerate(value, 1):
        text = text_of(name, item, [], expected) if isinstance(item, str) else None
        if text is None:
            faults.append(f"{name} has {shown(item)} at position {position}; expected {expected}")
        else:
            texts.append(text)
    return tuple(texts)


def seconds_of(name: str, value: object, faults: list[str]) -> float | None:
    """Return a time in seconds from the start, or None if absent or invalid."""
    if value is None or value == "":
        return None
    seconds = float_of(value)
    if not math.isfinite(seconds) or seconds < 0:
        faults.append(f"{name} is {shown(value)}; expected seconds from the start, e.g. 2.5")
        return None
    return seconds


def number_of(name: str, value: object, faults: list[str]) -> float | int | None:
    """Return a finite number, parsed if it is text; else None, and append a fault."""
    number = float_of(value)
    if type(value) is int and math.isfinite(number):
        return value
    if math.isfinite(number):
        return number
    faults.append(f"{name} is {shown(value)}; expected a finite number, or no key")
    return None


def float_of(value: object) -> float:
    """Return a value as float, parsed if it is text; NaN if it is not a number."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def json_of(name: str, cell: str, faults: list[str]) -> object:
    """Return the parsed JSON of a cell; None, and append a fault, if it is invalid."""
    try:
        return parsed_json(cell)
    except RepeatedKeyError as error:
        faults.append(f"{name}: {error}")
        return None
    except (ValueError, RecursionError) as error:
        faults.append(f"{name} is invalid JSON: {error}; fix the cell")
        return None


def is_encodable(text: str) -> bool:
    """Return False for a text with a lone surrogate, which cannot be encoded as UTF-8."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """Return a value as JSON for messages, truncated to 60 characters."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # an integer too large to convert to decimal
        text = f"a {type(value).__name__} that is too large"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 60 else text[:59] + "…"
