"""The one Unicode form in which texts are learned, compared and counted."""

import unicodedata
from itertools import groupby

MAX_MARKS = 1000
"""Combining marks in a row beyond which a text is left as it is: normalization takes time that
grows with their square, and no writing system has more than a few."""


def composed(text: str) -> str:
    """Return a text in NFC: "é" is one character, whether it came as one or as "e" and an accent.

    Files written on macOS hold decomposed texts (NFD), which look the same and share no word with
    the others.
    """
    if text.isascii() or (len(text) > MAX_MARKS and _longest_run(text) > MAX_MARKS):
        return text
    return unicodedata.normalize("NFC", text)


def _longest_run(text: str) -> int:
    runs = groupby(text, key=lambda letter: unicodedata.combining(letter) > 0)
    return max((sum(1 for _ in run) for marked, run in runs if marked), default=0)
