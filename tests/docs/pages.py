"""Pages of the documentation, and the blocks, links and anchors in them."""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
SHELL = ("", "sh", "bash")
_FENCE = re.compile(r"^( *)```([\w-]*)\n(.*?)^\1```$", re.M | re.S)
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")


@dataclass(frozen=True)
class Block:
    """A fenced block: the line of its text, its language, and the comment directly above it."""

    line: int
    language: str
    text: str
    mark: str


def name_of(page: Path) -> str:
    """Its path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    for found in _FENCE.finditer(text):
        above = text[: found.start()].rpartition("\n")[0].rpartition("\n")[2].strip()
        marked = re.fullmatch(r"<!-- (.*) -->", above)
        line = text.count("\n", 0, found.start()) + 2
        yield Block(line, found[2], found[3], marked[1] if marked else "")


def prose(text: str) -> str:
    """A page without its code, in blocks and in lines."""
    return re.sub(r"(`+)[^`\n]+?\1", "", _FENCE.sub("", text))


def links(text: str) -> list[str]:
    """The targets of the links and pictures of a page."""
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """What a link to a place in a page may name, on the site and where the repository is shown.

    A heading that has two names is left out: a link to it would work in one of them only.
    """
    found = set()
    for title in re.findall(r"^#{1,6} (.+)$", _FENCE.sub("", text), re.M):
        name, _, explicit = title.partition("{ #")
        if explicit:
            found.add(explicit.rstrip(" }"))
        elif _site(plain := _plain(name)) == _hub(plain):
            found.add(_site(plain))
    return found


def _plain(title: str) -> str:
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").replace("*", "").strip()


def _site(title: str) -> str:
    """As Python-Markdown names it."""
    letters = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", letters).strip().lower())


def _hub(title: str) -> str:
    """As hosts of repositories name it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
