"""Answer normalization of VQA: "Two dogs." and "the 2 dogs" are the same answer."""

import re
from functools import lru_cache

from mmtx_cli.io.unicode import composed

PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
"""Characters that separate words; apostrophes and colons (2:50) are part of a word."""
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
CORRECTED_CONTRACTIONS = {
    word[:i] + word[i + 1 :]: word
    for word in CONTRACTIONS.split()
    for i, letter in enumerate(word)
    if letter == "'"
}
"""Contractions with a missing apostrophe, mapped to their correct spelling."""

_PERIOD = re.compile(r"\.(?!\d)")
_SEPARATED = re.compile(r"\d,\d")


@lru_cache(maxsize=1 << 17)
def normal_answer(text: str) -> str:
    """Return an answer as normalized by the VQA evaluation (Antol et al. 2015, sec. 3).

    The rules are those of https://visualqa.org/evaluation.html and of the program given there:
    Unicode NFC and lower case; punctuation becomes a space, or nothing if that character also
    occurs next to a space or the answer has a comma between digits (1,000); periods are removed
    except decimal points; numbers from zero to ten become digits, "none" becomes 0; articles are
    removed; contractions get their apostrophe. An answer that would become empty ("A", a multiple
    choice) is only lowercased.
    """
    plain = " ".join(composed(text).replace("\u2019", "'").split())
    has_digit_comma = _SEPARATED.search(plain)
    spaced = plain
    for mark in PUNCTUATION:
        if mark in plain:
            next_to_space = f" {mark}" in plain or f"{mark} " in plain
            spaced = spaced.replace(mark, "" if next_to_space or has_digit_comma else " ")
    words = [DIGITS.get(word, word) for word in _PERIOD.sub("", spaced).lower().split()]
    kept = " ".join(
        CORRECTED_CONTRACTIONS.get(word, word) for word in words if word not in ARTICLES
    )
    return kept or plain.lower()
