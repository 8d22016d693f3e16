"""Arguments as they are written on a command line: for the shell and for Hydra's grammar."""

import os
import re
import shlex

_PLAIN = re.compile(r"[A-Za-z_./\\][\w./\\\-+%@:|?*]*", re.ASCII)
"""What Hydra reads as a text without quotes, unless it is one of these words:"""
_WORDS = ("null", "true", "false", "nan", "inf")
_STRUCTURE = re.compile(r"[,\[\]{}\"]|^'.*'$")
"""Signs of a list, a mapping, several values or a quoted text."""


def quoted(text: str | os.PathLike[str]) -> str:
    """A text or a path in quotes, as Hydra's grammar reads it back: backslashes count only before
    a quote.
    """
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", os.fspath(text))
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def argument(key: str, value: object) -> str:
    """``key=value`` to be copied into a shell, in quotes only where it needs them."""
    text = str(value)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return shlex.quote(f"{key}={text if plain else quoted(text)}")


def as_written(arg: str) -> str:
    """Put a value in quotes that is a plain text, but not to Hydra, whose grammar knows ASCII
    alone: ``manifest=données.jsonl``, ``captions=a#1.csv``.
    """
    key, equals, value = arg.partition("=")
    if not equals or _STRUCTURE.search(value) or _PLAIN.fullmatch(value) or not value:
        return arg
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(arg)
    except HydraException:
        return f"{key}={quoted(value)}"
    return arg
