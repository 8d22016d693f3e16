"""The form in which answers are compared: "Two dogs." and "the 2 dogs" are one answer."""

import re
from functools import lru_cache

from mmtx_cli.io.unicode import composed

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
"""What separates words; apostrophes and colons (2:50) belong to them."""
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(NUMBERS)}
ARTICLES = frozenset(("a", "an", "the"))
CONTRACTIONS = (
    "ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't "
    "haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am might've mightn't "
    "mightn't've must've mustn't needn't not've o'clock oughtn't 'ow's'at shan't she'd've "
    "should've shouldn't shouldn't've somebody'd somebody'd've somebody'll somebody's someone'd "
    "someone'd've someone'll someone's something'd something'd've something'll that's there'd "
    "there'd've there're there's they'd they'd've they'll they're they've 'twas wasn't we'd've "
    "we've weren't what'll what're what's what've when's where'd where's where've who'd who'd've "
    "who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all y'all'd've "
    "y'all'll you'd you'd've you'll you're you've"
)
WHOLE = {
    word[:i] + word[i + 1 :]: word
    for word in CONTRACTIONS.split()
    for i, letter in enumerate(word)
    if letter == "'"
}
"""Contractions that lack one of their apostrophes, and what they are meant to be."""

_PERIOD = re.compile(r"\.(?!\d)")
_SEPARATED = re.compile(r"\d,\d")


@lru_cache(maxsize=1 << 17)
def normal_answer(text: str) -> str:
    """Return an answer as the VQA evaluation compares it (Antol et al. 2015, sec. 3; the rules are
    those of https://visualqa.org/evaluation.html and of the program given there).

    Composed (NFC) and in lower case; punctuation is a space, or nothing where that character stands
    next to a space or digits are separated by commas (1,000); periods go that are no decimal
    points; the numbers from zero to ten are digits, "none" is 0; articles go; contractions get
    their apostrophe.
    An answer of which nothing would be left ("A", one choice of four) only becomes lower case.
    """
    plain = " ".join(composed(text).replace("\u2019", "'").split())
    separated = _SEPARATED.search(plain)
    spaced = plain
    for mark in PUNCTUATION:
        if mark in plain:
            beside = f" {mark}" in plain or f"{mark} " in plain
            spaced = spaced.replace(mark, "" if beside or separated else " ")
    words = [DIGITS.get(word, word) for word in _PERIOD.sub("", spaced).lower().split()]
    kept = " ".join(WHOLE.get(word, word) for word in words if word not in ARTICLES)
    return kept or plain.lower()
