"""Ids that differ only in how they are written: by an extension, a folder or zeros."""

import re
from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

_NUMBER = re.compile(r"(\d+)(?:\.\w+)?$")


def _last_number(name: str) -> str:
    match = _NUMBER.search(name)
    return str(int(match[1])) if match and len(match[1]) < 40 else name


def _without_zeros(name: str) -> str:
    return name.lstrip("0") or "0" if name.isdigit() else name


_FORMS: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("without leading zeros", _without_zeros),
    ("without “.0” at the end", lambda name: name.removesuffix(".0")),
    ("without white space around them", str.strip),
    ("without regard to case", str.casefold),
    ("without their extension", lambda name: str(PurePosixPath(name).with_suffix(""))),
    ("without their folder", lambda name: PurePosixPath(name).name),
    ("without folder and extension", lambda name: PurePosixPath(name).stem),
    ("by the number at their end", _last_number),
)


def suggestion(extra: Sequence[str], missing: Sequence[str]) -> str:
    """Return in what form most of the unmatched ids of two files would match, or ""."""
    for words, form in _FORMS:
        left, right = _by_form(extra, form), _by_form(missing, form)
        shared = left.keys() & right.keys()
        if 2 * len(shared) >= min(len(extra), len(missing)) > 0:
            key = next(key for key in left if key in shared)
            return (
                f"; {len(shared)} would match {words}, e.g. {left[key]!r} and {right[key]!r}: "
                "write the ids of both files in the same way"
            )
    return ""


def _by_form(names: Sequence[str], form: Callable[[str], str]) -> dict[str, str]:
    """Return the names by their form; those with the same form are left out."""
    found: dict[str, str] = {}
    repeated = set()
    for name in names:
        try:
            key = form(name)
        except ValueError:  # an empty name has no suffix
            continue
        if key in found:
            repeated.add(key)
        found[key] = name
    return {key: name for key, name in found.items() if key not in repeated}
