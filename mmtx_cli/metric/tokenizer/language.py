"""The language of captions, as far as their scripts determine it."""

import unicodedata
from collections import Counter
from collections.abc import Iterable

UNDETERMINED = "und"
"""Language (ISO 639) of captions whose script separates words by spaces: Latin, Cyrillic, …"""

_LANGUAGES = {
    "Han": "zh",
    "kana": "ja",
    "Hangul": "ko",
    "Thai": "th",
    "Lao": "lo",
    "Khmer": "km",
    "Myanmar": "my",
    "Tibetan": "bo",
}
_NAMES = {"CJK": "Han", "IDEOGRAPHIC": "Han", "HIRAGANA": "kana", "KATAKANA": "kana"}
_JAPANESE_SHARE = 0.05
"""Share of captions with kana among those with Han from which both are Japanese: few Japanese
sentences have no kana, and few Chinese ones have any."""
_HAN_WEIGHT = 3
"""Letters of an alphabet that say as much as one ideograph."""


class _Scripts(dict[int, str]):
    """The script of each character, found when it first occurs; "" for anything but letters."""

    def __missing__(self, code: int) -> str:
        self[code] = found = _script(chr(code))
        return found


def _script(char: str) -> str:
    if unicodedata.category(char)[0] not in "LM":
        return ""
    first, *rest = unicodedata.name(char, "").split() or [""]
    if first in ("HALFWIDTH", "FULLWIDTH") and rest:
        first = rest[0]
    if first == "COMBINING":
        return ""
    return _NAMES.get(first.partition("-")[0], first.capitalize())


_SCRIPTS = _Scripts()


def script_of(caption: str) -> str | None:
    """Return the script of most of a caption, such as ``Latin``; None if it has no letters.

    ``kana`` stands for Japanese, whose captions also contain Han characters.
    """
    if caption.isascii():
        return "Latin" if any(map(str.isalpha, caption)) else None
    counts = Counter(_SCRIPTS[ord(char)] for char in caption)
    del counts[""]
    if not counts:
        return None
    if counts["kana"]:
        counts["kana"] += counts.pop("Han", 0)
    for script in ("Han", "kana"):
        counts[script] *= _HAN_WEIGHT
    return counts.most_common(1)[0][0]


def scripts_of(captions: Iterable[str]) -> Counter[str]:
    """Return the number of captions by script; captions without letters are not counted."""
    counts = Counter(map(script_of, captions))
    del counts[None]
    found = Counter({script: count for script, count in counts.items() if script})
    return japanese(found)


def japanese(counts: Counter[str]) -> Counter[str]:
    """Return the counts with Han as Japanese if enough of the captions have kana."""
    kana, han = counts["kana"], counts["Han"]
    if han and kana > _JAPANESE_SHARE * (kana + han):
        return counts - Counter(Han=han) + Counter(kana=han)
    return +counts


def language_of(counts: Counter[str]) -> str:
    """Return the language (ISO 639) of the most frequent script, or ``UNDETERMINED``."""
    (most,) = counts.most_common(1) or [("", 0)]
    return _LANGUAGES.get(most[0], UNDETERMINED)
