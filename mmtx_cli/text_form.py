"""The one Unicode form in which texts are learned, compared and counted."""

import unicodedata


def composed(text: str) -> str:
    """Return a text in NFC: "é" is one character, whether it came as one or as "e" and an accent.

    Files written on macOS hold decomposed texts (NFD), which look the same and share no word with
    the others.
    """
    return text if text.isascii() else unicodedata.normalize("NFC", text)
