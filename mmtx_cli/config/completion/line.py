"""Split a partial command line into words."""

import re
from dataclasses import dataclass

_WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"?|'[^']*'?|[^\s\\"'])+|\\$""", re.DOTALL)
_QUOTED = re.compile(r"""\\(.)|"((?:\\.|[^"\\])*)"?|'([^']*)'?""", re.DOTALL)
_IN_DOUBLE = re.compile(r"""(["\\$`])""")
_SPECIAL = re.compile(r"""([\s"'\\$&;()<>|`*?#!])""")


def words_of(line: str) -> list[str]:
    """Split a line into words as a shell does; the last one is still being typed.

    An unclosed quote extends to the end of the line.
    """
    found = list(_WORD.finditer(line))
    words = [_QUOTED.sub(_unquote, match[0]) for match in found]
    done = not found or found[-1].end() < len(line)
    return [*words, ""] if done else words


BREAKS = " \t\n\"'@><=;|&(:"
"""Characters that end a word in readline: bash's default COMP_WORDBREAKS."""


@dataclass(frozen=True)
class Current:
    """The text that readline replaces at the end of a line.

    ``before`` is the text before it in the same shell word, without quotes and escapes; ``quote``
    is the quote that is open ("" if none).
    """

    before: str
    quote: str

    def inserted(self, word: str) -> str:
        """Return the replacement that makes the shell read the whole ``word``."""
        rest = word.removeprefix(self.before)
        if self.quote == "'":
            return rest.replace("'", "'\\''")
        return _IN_DOUBLE.sub(r"\\\1", rest) if self.quote else escaped(rest)


def current_of(line: str, breaks: str = BREAKS) -> Current:
    """Find the text that readline replaces.

    It starts after an open quote, or else after the last of the ``breaks`` that is neither quoted
    nor escaped.
    """
    found = list(_WORD.finditer(line))
    raw = found[-1][0] if found and found[-1].end() == len(line) else ""
    start, quote_start, quote, i = 0, 0, "", 0
    while i < len(raw):
        char = raw[i]
        if char == "\\" and quote != "'":
            i += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote, quote_start = char, i + 1
        elif char in breaks:
            start = i if char == "@" else i + 1  # readline keeps the @, for host names
        i += 1
    return Current(_QUOTED.sub(_unquote, raw[: quote_start if quote else start]), quote)


def _unquote(match: re.Match) -> str:
    escaped, double, single = match.groups()
    if double is not None:
        return re.sub(r'\\(["\\$`])', r"\1", double)
    return escaped if escaped is not None else single


def escaped(word: str) -> str:
    """Escape a word for bash."""
    return _SPECIAL.sub(r"\\\1", word)
