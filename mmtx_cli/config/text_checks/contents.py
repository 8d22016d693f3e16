"""Validate what generated texts must contain, without a model."""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from unicodedata import category

LISTS = {"include": 8, "exclude": 1000, "choices": 5000}
"""Settings that are lists of texts, and how many each may have."""
LONGEST = {"include": 200, "exclude": 200, "choices": 1000, "regex": 5000, "prefix": 1000}
"""Maximum number of characters of a text."""


def text_constraint_faults(own: Mapping[str, Any]) -> Iterator[str]:
    """Yield the errors of the constraints in the section ``generation``."""
    for key, most in LISTS.items():
        if wrong := [x for x in own.get(key) or () if x is None or isinstance(x, (list, dict))]:
            yield f"generation.{key}: {wrong[0]!r} is not a text; write generation.{key}='[a,b]'"
            continue
        texts = listed(own, key)
        if len(texts) > most:
            yield f"generation.{key}: {len(texts)} texts; at most {most} are supported"
        if any(not text.strip() for text in texts):
            yield f"generation.{key}: contains an empty text; remove it"
        yield from length_faults(key, texts)
        yield from unicode_faults(key, texts)
    for key in ("regex", "prefix"):
        value = own.get(key)
        if isinstance(value, str):
            if not value.strip():
                yield f"generation.{key}: empty; remove it, or set generation.{key}=null"
            yield from length_faults(key, [value])
            yield from unicode_faults(key, [value])
    for required in listed(own, "include"):
        for excluded in listed(own, "exclude"):
            if excluded.strip() and contains(required, excluded):
                yield (
                    f"generation.include={required!r}: contradicts generation.exclude="
                    f"{excluded!r}; remove one"
                )


def listed(own: Mapping[str, Any], key: str) -> list[str]:
    """Return the texts of a setting; empty if it has another type, which is reported elsewhere."""
    value = own.get(key)
    return [str(text) for text in value] if isinstance(value, list) else []


def unicode_faults(key: str, texts: list[str]) -> Iterator[str]:
    """Yield an error if a text is not valid Unicode."""
    for text in texts:
        if any("\ud800" <= character <= "\udfff" for character in text):
            yield f"generation.{key}: {text!r} is not valid Unicode; write it in UTF-8"
            return


def length_faults(key: str, texts: list[str]) -> Iterator[str]:
    """Yield an error if a text is too long."""
    for text in texts:
        if len(text) > LONGEST[key]:
            yield (
                f"generation.{key}: a text of {len(text)} characters; at most {LONGEST[key]} are "
                "supported"
            )
            return


def contains(text: str, phrase: str) -> bool:
    """Return True if a text contains a phrase as whole words, in any case."""
    words = r"\s+".join(map(re.escape, phrase.split()))
    found = re.finditer(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE)
    # a mark belongs to the letter before it
    return any(not category(text[m.end() : m.end() + 1] or " ").startswith("M") for m in found)
