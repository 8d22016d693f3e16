"""A command line that is being written, as its words."""

import re

_WORD = re.compile(r"""(?:\\.|"(?:\\.|[^"\\])*"?|'[^']*'?|[^\s\\"'])+|\\$""", re.DOTALL)
_QUOTED = re.compile(r"""\\(.)|"((?:\\.|[^"\\])*)"?|'([^']*)'?""", re.DOTALL)
_SPECIAL = re.compile(r"""([\s"'\\$&;()<>|`*?#!])""")


def words_of(line: str) -> list[str]:
    """The words of a line as a shell reads them; the last is the one that is being written.

    A quote that is still open goes to the end of the line.
    """
    found = list(_WORD.finditer(line))
    words = [_QUOTED.sub(_plain, match[0]) for match in found]
    done = not found or found[-1].end() < len(line)
    return [*words, ""] if done else words


def _plain(match: re.Match) -> str:
    escaped, double, single = match.groups()
    if double is not None:
        return re.sub(r'\\(["\\$`])', r"\1", double)
    return escaped if escaped is not None else single


def escaped(word: str) -> str:
    """A word as bash reads it back."""
    return _SPECIAL.sub(r"\\\1", word)
