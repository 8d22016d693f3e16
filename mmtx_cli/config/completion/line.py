"""A command line that is being written, as its words."""

import re
from dataclasses import dataclass

_WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"?|'[^']*'?|[^\s\\"'])+|\\$""", re.DOTALL)
_QUOTED = re.compile(r"""\\(.)|"((?:\\.|[^"\\])*)"?|'([^']*)'?""", re.DOTALL)
_IN_DOUBLE = re.compile(r"""(["\\$`])""")
_SPECIAL = re.compile(r"""([\s"'\\$&;()<>|`*?#!])""")


def words_of(line: str) -> list[str]:
    """The words of a line as a shell reads them; the last is the one that is being written.

    A quote that is still open goes to the end of the line.
    """
    found = list(_WORD.finditer(line))
    words = [_QUOTED.sub(_plain, match[0]) for match in found]
    done = not found or found[-1].end() < len(line)
    return [*words, ""] if done else words


BREAKS = " \t\n\"'@><=;|&(:"
"""Characters that end a word of readline's, unless COMP_WORDBREAKS is changed in bash."""


@dataclass(frozen=True)
class Current:
    """What readline replaces at the end of a line: the text that stands before it in the same word
    of the shell, as it is meant, and the quote in which it stands ("" in none).
    """

    before: str
    quote: str

    def inserted(self, word: str) -> str:
        """What is written in its place so that the shell reads a whole ``word``."""
        rest = word.removeprefix(self.before)
        if self.quote == "'":
            return rest.replace("'", "'\\''")
        return _IN_DOUBLE.sub(r"\\\1", rest) if self.quote else escaped(rest)


def current_of(line: str, breaks: str = BREAKS) -> Current:
    """Find what readline replaces: what follows a quote that is open, else all that follows the
    last of the ``breaks`` that no quote or backslash makes plain.
    """
    found = list(_WORD.finditer(line))
    raw = found[-1][0] if found and found[-1].end() == len(line) else ""
    start, opened, quote, i = 0, 0, "", 0
    while i < len(raw):
        sign = raw[i]
        if sign == "\\" and quote != "'":
            i += 2
            continue
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote, opened = sign, i + 1
        elif sign in breaks:
            start = i if sign == "@" else i + 1  # readline keeps it, for names of hosts
        i += 1
    return Current(_QUOTED.sub(_plain, raw[: opened if quote else start]), quote)


def _plain(match: re.Match) -> str:
    escaped, double, single = match.groups()
    if double is not None:
        return re.sub(r'\\(["\\$`])', r"\1", double)
    return escaped if escaped is not None else single


def escaped(word: str) -> str:
    """A word as bash reads it back."""
    return _SPECIAL.sub(r"\\\1", word)
