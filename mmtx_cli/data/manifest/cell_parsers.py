"""Single cells of a manifest: text, numbers, times and JSON, with a fault told for what is none."""

import json
import math

from mmtx_cli.io.jsonl import RepeatedKeyError, parsed_json
from mmtx_cli.io.unicode import composed


def text_of(name: str, value: object, faults: list[str], wanted: str = "text") -> str | None:
    """Return a text, None if it is absent or blank; append to ``faults`` if it is no text."""
    if value is None:
        return None
    if not isinstance(value, str):
        faults.append(f"{name} is {shown(value)}; write {wanted} in quotes")
        return None
    if not value.isascii() and not is_encodable(value):
        faults.append(f"{name} holds half a surrogate pair; write whole characters")
        return None
    return value if value.strip() else None


def words_of(name: str, value: object, faults: list[str], wanted: str = "text") -> str | None:
    """Return a text as ``text_of``, in the form in which texts are compared."""
    text = text_of(name, value, faults, wanted)
    return None if text is None else composed(text)


def texts_of(name: str, value: object, faults: list[str], wanted: str) -> tuple[str, ...]:
    """Return a list of texts none of which is blank; ``wanted`` says what to write instead."""
    if not isinstance(value, list):
        if value is not None:
            faults.append(f"{name} is {shown(value)}; write {wanted}")
        return ()
    texts = []
    for place, item in enumerate(value, 1):
        text = text_of(name, item, [], wanted) if isinstance(item, str) else None
        if text is None:
            faults.append(f"{name} has {shown(item)} in place {place}; write {wanted}")
        else:
            texts.append(text)
    return tuple(texts)


def seconds_of(name: str, value: object, faults: list[str]) -> float | None:
    """Return a time in seconds from the beginning, None if absent."""
    if value is None or value == "":
        return None
    seconds = float_of(value)
    if not math.isfinite(seconds) or seconds < 0:
        faults.append(f"{name} is {shown(value)}; give seconds from the beginning, e.g. 2.5")
        return None
    return seconds


def number_of(name: str, value: object, faults: list[str]) -> float | int | None:
    """Return the finite number that ``value`` is or spells; None, and a fault, if it is none."""
    number = float_of(value)
    if type(value) is int and math.isfinite(number):
        return value
    if math.isfinite(number):
        return number
    faults.append(f"{name} is {shown(value)}; give a finite number, or leave the key out")
    return None


def float_of(value: object) -> float:
    """Return the number that ``value`` is or spells, else NaN."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return math.nan
    try:
        return float(value)
    except (ValueError, OverflowError):
        return math.nan


def json_of(name: str, cell: str, faults: list[str]) -> object:
    """Return what a cell of JSON holds; None, and a fault, if it is no JSON."""
    try:
        return parsed_json(cell)
    except RepeatedKeyError as error:
        faults.append(f"{name}: {error}")
        return None
    except (ValueError, RecursionError) as error:
        faults.append(f"{name} begins like JSON but is none: {error}; mend the cell")
        return None


def is_encodable(text: str) -> bool:
    """Return False for a text with half a surrogate pair, which no file system takes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """Return a value as its user wrote it, cut where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:  # a number of thousands of digits, which cannot be written in decimal
        text = f"a {type(value).__name__} that is too large"
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 60 else text[:59] + "…"
