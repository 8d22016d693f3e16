"""Unicode normalization of texts for training, comparison and counting."""

import unicodedata
from itertools import groupby

MAX_MARKS = 1000
"""Combining marks in a row above which a text is not normalized: that takes quadratic time, and no
writing system uses more than a few."""


def composed(text: str) -> str:
    """Return a text in NFC, where "é" is one character, never "e" followed by an accent.

    Files written on macOS may contain decomposed text (NFD), which looks the same but does not
    match.
    """
    if text.isascii() or (len(text) > MAX_MARKS and _longest_run(text) > MAX_MARKS):
        return text
    return unicodedata.normalize("NFC", text)


def _longest_run(text: str) -> int:
    runs = groupby(text, key=lambda letter: unicodedata.combining(letter) > 0)
    return max((sum(1 for _ in run) for marked, run in runs if marked), default=0)
