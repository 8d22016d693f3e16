"""Parse the keys of our YAML files with their values as written and their comments."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from mmtx_cli.config.conf_tree import conf_dir

EXAMPLE = " e.g. mmtx "
"""Separates the description from the example command in the comment at the top of a file."""


@dataclass(frozen=True)
class Key:
    """A key, its value as written, the comment after it, and the comments above it."""

    path: str
    value: str
    comment: str
    above: tuple[str, ...] = ()


def keys(text: str) -> Iterator[Key]:
    """Yield every key of a YAML text in order; for a block, the keys in it."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    if isinstance(root, yaml.MappingNode):
        yield from keys_below(root, "", text.splitlines(), text)


def keys_below(node: yaml.MappingNode, prefix: str, lines: list[str], text: str) -> Iterator[Key]:
    """Yield the keys of one block. A comment after the block's own key goes above its first key.

    Args:
        node: The block.
        prefix: Its path with a final dot; empty at the root.
        lines: The lines of the text.
        text: The whole text.
    """
    for key, value in node.value:
        path, line = f"{prefix}{key.value}", key.start_mark.line
        above = comments_above(lines, line)
        if isinstance(value, yaml.MappingNode) and not value.flow_style:
            block_comment = comment_after(lines[line], key.end_mark.column)
            for i, inner in enumerate(keys_below(value, f"{path}.", lines, text)):
                first = (
                    (*above, *([block_comment] if block_comment else []), *inner.above)
                    if i == 0
                    else inner.above
                )
                yield Key(inner.path, inner.value, inner.comment, first)
            continue
        end = value.end_mark
        # an empty value ends at its key or on a later line
        comment = comment_after(lines[end.line], end.column) if end.line < len(lines) else ""
        value_text = " ".join(text[value.start_mark.index : end.index].split())
        yield Key(path, value_text, comment, above)


def comments_above(lines: list[str], line: int) -> tuple[str, ...]:
    """Return the comment lines directly above a line, except those at the top of the file."""
    first = line
    while first > 0 and lines[first - 1].lstrip().startswith("#"):
        first -= 1
    if first == 0:
        return ()
    return tuple(comment.lstrip("# ").rstrip() for comment in lines[first:line])


def comment_after(line: str, column: int) -> str:
    """Return the comment after a value that ends at a column."""
    return line[column:].partition("#")[2].strip()


def heading(text: str) -> str:
    """Return the comment at the top of a file as one line, without Hydra's ``@package`` line."""
    comments = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if "@package" not in line:
            comments.append(line.lstrip("# ").rstrip())
    return " ".join(comments).partition(EXAMPLE)[0]


def example_in(text: str) -> str:
    """Return the example command that the comment at the top of a file ends with, or ""."""
    said = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    words = " ".join(line.lstrip("# ").rstrip() for line in said).partition(EXAMPLE)[2]
    return f"mmtx {words}" if words else ""


def example(name: str) -> str:
    """Return the example in one of our files on a new line, or "" if it has none.

    ``name`` is the path in conf/ without suffix, e.g. ``importer/coco``.
    """
    command = example_in((conf_dir() / f"{name}.yaml").read_text(encoding="utf-8"))
    return f"\n  e.g. {command}" if command else ""
