"""Normalization of tokens by the Penn Treebank tokenizer."""

import re
from collections.abc import Callable

_FRACTIONS = {"¼": "1/4", "½": "1/2", "¾": "3/4", "⅓": "1/3", "⅔": "2/3"}
_CURRENCIES = {"¢": "cents", "£": "#", "\x80": "$", "¤": "$", "₠": "$", "€": "$"}
_BRACKETS = str.maketrans(
    {"(": "-LRB-", ")": "-RRB-", "[": "-LSB-", "]": "-RSB-", "{": "-LCB-", "}": "-RCB-"}
)
_ROUND = str.maketrans({"(": "-LRB-", ")": "-RRB-", " ": "\xa0"})
_QUOTES = str.maketrans(
    {
        **dict.fromkeys("\x91‘‛‹", "`"),
        **dict.fromkeys("\x92’›", "'"),
        **dict.fromkeys("\x93“«", "``"),
        **dict.fromkeys('"\x94”»', "''"),
    }
)


def always(written: str) -> Callable[[str], str]:
    """Return a function that maps every token to ``written``."""
    return lambda token: written


def quotes(token: str) -> str:
    """Convert quotation marks to TeX style."""
    return token.replace("&apos;", "'").replace("&quot;", "''").translate(_QUOTES)


def brackets(token: str) -> str:
    """Replace brackets by names; in longer tokens (emoticons, phone numbers) only round ones."""
    return token.translate(_BRACKETS if len(token) == 1 else _ROUND)


def use_no_break_spaces(token: str) -> str:
    """Replace spaces in a token with no-break spaces."""
    return token.replace(" ", "\xa0")


def remove_soft_hyphens(token: str) -> str:
    """Remove soft hyphens, which only mark possible line breaks; ``-`` if nothing is left."""
    return token.replace("\xad", "") or "-"


def ampersand(token: str) -> str:
    """Replace the entity with the character."""
    return re.sub("(?i)&amp;", "&", token)


def dash(token: str) -> str:
    """Replace three or four hyphens with ``--``."""
    return "--" if len(token) in (3, 4) else token


def fraction(token: str) -> str:
    """Write common fractions with a slash."""
    return _FRACTIONS.get(token, token)


def currency(token: str) -> str:
    """Write cents and pounds as the treebank does, and currencies it lacks as dollars."""
    return _CURRENCIES.get(token, token)
