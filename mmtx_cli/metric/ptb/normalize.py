"""How the Penn Treebank tokenizer writes a token, where that is not as it stands in the text."""

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
    """Return a way of writing that is the same for every token."""
    return lambda token: written


def quotes(token: str) -> str:
    """Write quotation marks as TeX does."""
    return token.replace("&apos;", "'").replace("&quot;", "''").translate(_QUOTES)


def brackets(token: str) -> str:
    """Write brackets by name. Within a longer token (a smiley, a phone number) only round ones."""
    return token.translate(_BRACKETS if len(token) == 1 else _ROUND)


def glued(token: str) -> str:
    """Make spaces within a token no-break spaces."""
    return token.replace(" ", "\xa0")


def unbroken(token: str) -> str:
    """Drop soft hyphens: they only say where a line may break."""
    return token.replace("\xad", "") or "-"


def ampersand(token: str) -> str:
    """Write the entity as the character."""
    return re.sub("(?i)&amp;", "&", token)


def dash(token: str) -> str:
    """Write three or four hyphens as the dash they stand for."""
    return "--" if len(token) in (3, 4) else token


def fraction(token: str) -> str:
    """Write the common fractions with a slash."""
    return _FRACTIONS.get(token, token)


def currency(token: str) -> str:
    """Write cents and pounds as the treebank does, and currencies that it lacks as dollars."""
    return _CURRENCIES.get(token, token)
