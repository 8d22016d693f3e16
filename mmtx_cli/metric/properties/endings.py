"""Captions that stop in the middle of a sentence."""

from collections.abc import Iterable
from itertools import chain

_ENGLISH = """
    a an the and or of in on at to by for from with before after near is are am his her their its
    while
"""
FUNCTION_WORDS = {"en": frozenset(_ENGLISH.split())}
"""By language, the words with which a caption hardly ever ends: articles, prepositions,
conjunctions, auxiliary verbs and possessives."""

ENGLISH = 0.25
"""Share of words in the list above which captions count as English; it is 0.39 in Flickr8k. German,
for example, shares "in", "an" and "am" with it."""


def has_broken_end(caption: str, language: str = "en") -> bool:
    """Return whether a caption is empty or ends with a comma or a function word of its language.

    A period after the last word does not make it whole: "a dog runs on the ." is broken.
    """
    text = caption.rstrip(" .")
    words = text.casefold().split()
    return not words or text.endswith(",") or words[-1] in FUNCTION_WORDS[language]


def are_english(captions: Iterable[Iterable[str]]) -> bool:
    """Return whether captions, given as words, are in English."""
    words = list(chain.from_iterable(captions))
    known = sum(word.casefold() in FUNCTION_WORDS["en"] for word in words)
    return known > ENGLISH * len(words)
