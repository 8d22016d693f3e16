"""Limit the size of interpolations: ``b: ${a}${a}``, ``c: ${b}${b}``, … doubles on every line."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

MAX_SIZE = 1_000_000
"""Maximum number of characters and values in a configuration after interpolation."""
MAX_DEPTH = 100
"""Maximum depth of nested nodes and of chained interpolations."""
_WORDS = re.compile(r"\.*\w+(?:[.\[]\w+\]?)*")
_NESTED = re.compile(r"\$\{[^:{}]*\$\{|\$\{oc\.(?:select|deprecated|dict\.\w+):[^}]*\$\{")
Path = tuple[str, ...]


class TooLargeError(ValueError):
    """A value is too large after interpolation; the message is its config path."""


def interpolation_faults(cfg: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield (key, remedy) for interpolations that are too large or whose size is unknown.

    ``cfg`` is the plain configuration before interpolation.
    """
    unclear = list(_unclear(cfg, ()))
    yield from unclear
    if unclear:
        return
    try:
        _Sizes(cfg).of(())
    except TooLargeError as error:
        yield (
            str(error),
            f"its interpolations expand to more than {MAX_SIZE} characters, or form a chain of "
            f"more than {MAX_DEPTH}; replace some of them with their values",
        )


class _Sizes:
    """Computes the size of each value after interpolation once, without resolving it."""

    def __init__(self, cfg: Mapping[str, Any]) -> None:
        self.cfg, self.known = cfg, dict[Path, int]()
        self.depth = 0

    def of(self, path: Path) -> int:
        """Return the number of characters and values below a path.

        Raises:
            TooLargeError: if the size or depth exceeds its maximum.
        """
        if path in self.known:
            return self.known[path]
        self.known[path] = 0  # OmegaConf rejects cycles
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooLargeError(".".join(path))
        node = _at(self.cfg, path)
        if isinstance(node, Mapping):
            size = 1 + sum(self.of((*path, str(key))) for key in node)
        elif isinstance(node, list):
            size = 1 + sum(self.of((*path, str(i))) for i in range(len(node)))
        else:
            size = 1 + len(str(node)) + sum(map(self.of, self._targets(node, path)))
        if size > MAX_SIZE:
            raise TooLargeError(".".join(path))
        self.depth -= 1
        self.known[path] = size
        return size

    def _targets(self, node: Any, path: Path) -> Iterator[Path]:
        """Yield every path that a string may refer to, absolute or relative to its own."""
        if not isinstance(node, str) or "${" not in node:
            return
        for word in _WORDS.findall(node[node.index("${") :]):
            names = tuple(word.lstrip(".").replace("[", ".").replace("]", "").split("."))
            dots = len(word) - len(word.lstrip("."))
            target = (*path[: len(path) - dots], *names) if dots else names
            if dots <= len(path) and _at(self.cfg, target) is not None:
                yield target


def _unclear(node: Any, path: Path) -> Iterator[tuple[str, str]]:
    if isinstance(node, Mapping):
        for key, value in node.items():
            yield from _unclear(value, (*path, str(key)))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _unclear(value, (*path, str(i)))
    elif isinstance(node, str) and (_NESTED.search(node) or "${oc.create:" in node):
        shown = node if len(node) < 60 else f"{node[:59]}…"
        yield ".".join(path), f"{shown!r} could expand to anything; write the key literally"


def _at(node: Any, path: Path) -> Any:
    for name in path:
        if isinstance(node, list) and name.isdecimal() and int(name) < len(node):
            node = node[int(name)]
        elif isinstance(node, Mapping) and name in node:
            node = node[name]
        else:
            return None
    return node
