"""The normalizer of METEOR 1.5 (its option ``-norm``) for Western European languages and Russian.

It is a Moses tokenizer that also joins the spellings of quotes and dashes, splits hyphenated words,
and removes the periods of abbreviations such as ``U.S.``.
"""

import re
from collections.abc import Mapping

_ALPHA = "A-Za-zŠŽšžŸÀ-ÖØ-öø-žЀ-ӿԀ-ԧꙀ-ꙮ꙾-ꚗᴀ-ᵿ"
_LETTER = f"[{_ALPHA}]"
_OTHER = f"[^{_ALPHA}]"
_DOT = "\uffff"
"""Stands for a period of a run of them, which is one word whatever the rules say of periods."""

_PLAIN = re.compile("[a-z0-9 ]*")
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(rf"([^0-9{_ALPHA} \t\n\x0b\f\r.'`,\-‘’])"), r" \1 "),
)
_RUN = re.compile(r"\.{2,}")
_LATER_RULES = (
    (re.compile("([^0-9]),([^0-9])"), r"\1 , \2"),
    (re.compile("([0-9]),([^0-9])"), r"\1 , \2"),
    (re.compile("([^0-9]),([0-9])"), r"\1 , \2"),
    (re.compile("[`‘’]"), "'"),
    (re.compile("[“”]|''"), ' " '),
    (re.compile("–"), "-"),
    (re.compile("--"), "-"),
    (re.compile(rf"([0-9{_ALPHA}.])-([0-9{_ALPHA}])"), r"\1 \2"),
)
_ALONE, _RIGHT, _LEFT = r"\1 ' \2", r"\1 '\2", r"\1' \2"
_APOSTROPHES = {
    "en": (
        (re.compile(f"({_OTHER})'({_OTHER})"), _ALONE),
        (re.compile(f"([^0-9{_ALPHA}])'({_LETTER})"), _ALONE),
        (re.compile(f"({_LETTER})'({_OTHER})"), _ALONE),
        (re.compile(f"({_LETTER})'({_LETTER})"), _RIGHT),
        (re.compile("([0-9])'(s)"), _RIGHT),
    ),
    "fr": (
        (re.compile(f"({_OTHER})'({_OTHER})"), _ALONE),
        (re.compile(f"({_OTHER})'({_LETTER})"), _ALONE),
        (re.compile(f"({_LETTER})'({_OTHER})"), _ALONE),
        (re.compile(f"({_LETTER})'({_LETTER})"), _LEFT),
    ),
}
_EACH_APOSTROPHE = ((re.compile("'"), " ' "),)
_SPACE = re.compile("[ \t\n\r\f]+")
_RARE_SPACE = re.compile("[\u2000-\u200a\u202f\u205f\u3000\xa0]+")
_HAS_LETTER = re.compile(_LETTER)


def normalized(text: str, language: str, prefixes: Mapping[str, bool]) -> list[str]:
    """Return the words of a text, in lower case.

    Args:
        text: Words separated by spaces, or raw text.
        language: ISO 639-1 code; decides how apostrophes are split.
        prefixes: Abbreviations that keep their period, to whether only before a number.
    """
    if _PLAIN.fullmatch(text):
        return text.split()
    text = f" {text} "
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    text = _RUN.sub(lambda run: f" {_DOT * len(run[0])} ", text)
    for pattern, replacement in _LATER_RULES + _APOSTROPHES.get(language, _EACH_APOSTROPHE):
        text = pattern.sub(replacement, text)
    text = " ".join(_without_periods(lower_words(text, lower=False), prefixes))
    return lower_words(text.replace(_DOT, "."))


def lower_words(text: str, lower: bool = True) -> list[str]:
    """Return the words of a text without normalization, in lower case unless ``lower`` is False."""
    if lower:
        text = _RARE_SPACE.sub(" ", text).lower()
    return [word for word in _SPACE.split(text) if word]


def _without_periods(words: list[str], prefixes: Mapping[str, bool]) -> list[str]:
    """Return the words with final periods split off, unless they belong to an abbreviation."""
    changed = []
    for at, word in enumerate(words):
        stem = word[:-1]
        if len(word) < 2 or word[-1] != ".":
            changed.append(word)
        elif "." in stem and _HAS_LETTER.search(stem):
            changed.append(word.replace(".", ""))
        elif _keeps_period(stem, words[at + 1 : at + 2], prefixes):
            changed.append(word)
        else:
            changed += [stem, "."]
    return changed


def _keeps_period(stem: str, following: list[str], prefixes: Mapping[str, bool]) -> bool:
    first = following[0][0] if following else ""
    if "a" <= first <= "z":
        return True
    if (only_before_numbers := prefixes.get(stem)) is None:
        return False
    return not only_before_numbers or "0" <= first <= "9"
