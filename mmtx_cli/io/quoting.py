"""Quote command-line arguments for the shell and for Hydra's grammar."""

import os
import re
import shlex

_PLAIN = re.compile(r"[A-Za-z_./\\][\w./\\\-+%@:|?*]*", re.ASCII)
"""Strings that Hydra reads without quotes, except for these words:"""
_WORDS = ("null", "true", "false", "nan", "inf")
_STRUCTURE = re.compile(r"[,\[\]{}\"]|^'.*'$")
"""Syntax of a list, a mapping, several values or a quoted string."""
_SIGN = re.compile(r"[,\[\]{}\"']")
_FOREIGN = re.compile(r"[^\w\s./\\\-+%@:|?*,\[\]{}\"'$]|[^\x00-\x7f]")
_ITEM = re.compile(r"""\s*("[^"]*"|'[^']*'|[^,]+?)\s*(?:,|$)""")
"""An item of a list, which may be a quoted string."""


def quoted(text: str | os.PathLike[str]) -> str:
    """Quote a string or path for Hydra's grammar, where backslashes escape only before a quote."""
    escaped = re.sub(r"(\\*)'", r"\1\1\\'", os.fspath(text))
    return "'" + re.sub(r"(\\+)$", r"\1\1", escaped) + "'"


def in_quotes(text: str) -> str:
    """Quote a string, in double quotes if possible, which stay legible in shell quotes."""
    return quoted(text) if re.search(r'["\\]', text) else f'"{text}"'


def argument(key: str, value: object) -> str:
    """Return ``key=value`` for pasting into a shell, quoted only if necessary."""
    text = str(value)
    plain = _PLAIN.fullmatch(text) and text.lower() not in _WORDS
    return shlex.quote(f"{key}={text if plain else in_quotes(text)}")


def quoted_if_needed(arg: str) -> str:
    """Quote a plain value that Hydra's ASCII-only grammar cannot read.

    Examples are ``manifest=données.jsonl`` and ``captions=a#1.csv``.
    """
    key, equals, value = arg.partition("=")
    if not equals or _STRUCTURE.search(value) or _PLAIN.fullmatch(value) or not value:
        return arg
    return arg if is_readable(arg) else f"{key}={quoted(value)}"


def is_readable(arg: str) -> bool:
    """Return True if Hydra's grammar can parse an argument."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    try:
        OverridesParser.create().parse_override(arg)
    except HydraException:
        return False
    return True


def parse_fault(arg: str) -> str:
    """Explain why Hydra's grammar cannot parse ``key=value``, and how to write it in a shell."""
    key, _, value = arg.partition("=")
    listed = value[:1] + value[-1:] == "[]"
    items = _ITEM.findall(value[1:-1]) if listed else [value]
    unparsable = [item for item in items if not is_readable(f"{key}={item}")]
    fixed = [in_quotes(item) if item in unparsable else item for item in items]
    corrected = f"{key}=" + (f"[{','.join(fixed)}]" if listed else fixed[0])
    if not is_readable(corrected):
        return "cannot parse the key; write key=value, without spaces or quotes in the key"
    if any(value.count(a) != value.count(b) for a, b in ("[]", "{}")) or value.count('"') % 2:
        remedy = f"close brackets and quotes, or, for a string, write {shlex.quote(corrected)}"
        return f"cannot parse the value; {remedy}"
    text = "".join(unparsable)
    if is_mapping := value[:1] + value[-1:] == "{}":
        signs = _FOREIGN.findall(text)
    else:
        signs = _SIGN.findall(text) or _FOREIGN.findall(text)
    shown_signs = [repr(sign) for sign in dict.fromkeys(signs)]
    verb = "needs" if len(shown_signs) == 1 else "need"
    quotes = (
        f"{' and '.join(shown_signs)} {verb} quotes around the string"
        if shown_signs
        else "quote its strings"
    )
    remedy = "" if is_mapping else f": write {shlex.quote(corrected)}"
    return f"cannot parse the value; {quotes}{remedy}"
