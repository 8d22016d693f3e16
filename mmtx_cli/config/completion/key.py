"""The keys that a command line can go on with, and what may stand behind each."""

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from mmtx_cli.config.conf_tree import (
    choices,
    config_dirs,
    configuration,
    default_groups,
    group_names,
    root_keys,
)
from mmtx_cli.config.constraints import WORDS
from mmtx_cli.config.groups import Choice, all_made, chosen_by
from mmtx_cli.config.help.command_help import component_rows, root_rows
from mmtx_cli.config.help.components import read_component
from mmtx_cli.config.help.settings import Row, section_rows
from mmtx_cli.config.introspect import TargetError
from mmtx_cli.config.schema import SECTIONS
from mmtx_cli.config.validate import TYPES, subsections

_TEXT = "str | None"
_LIST = re.compile(r"(?i)\b(?:list|tuple|sequence|set|dict|mapping)\b")
MEANT = {("data", "missing"): ("error", "skip"), ("compare", "plan"): ("fusions",)}
"""Words of a key that means something else to another command, or of which no comment tells."""
FILES = frozenset(
    (
        *("ckpt", "run_dir", "runs", "inputs", "texts", "references", "predictions"),
        *("out", "manifest", "root", "images", "annotations", "questions", "captions", "source"),
        *("splits.train", "splits.val", "splits.test"),
        *("data.path", "data.root", "data.cache", "data.tokenizer"),
    )
)
"""Keys at the root and of sections that name files or folders; the other texts are names."""


@dataclass(frozen=True)
class Known:
    """A key with the words that may stand behind it; ``files``: names of files, too."""

    key: str
    values: tuple[str, ...] = ()
    files: bool = False


def known_keys(command: str, args: Sequence[str]) -> Iterator[Known]:
    """Keys of a command, its sections, and the components that ``args`` choose."""
    dirs, name = config_dirs(args), configuration(command, args)
    for row, comment in root_rows(name, {}):
        if not row.startswith("#"):
            key, _, default = row.partition("=")
            words = MEANT.get((name, key)) or alternatives(key, comment)
            yield known(key, default, TYPES.get(key, _TEXT), words, key in FILES)
    present = root_keys(name)
    for section, schema in SECTIONS.items():
        kinds = dict(kinds_of(section, schema))
        for row, _ in section_rows(name, section, schema, {}) if section in present else ():
            key, _, default = row.partition("=")
            if "[" not in key:
                kind = kinds.get(key, _TEXT)
                yield known(key, default, kind, WORDS.get(key, ()), key in FILES)
    for choice in all_made(chosen_by(name, args, dirs), dirs):
        for row, kind in rows_of(choice):
            key, _, default = row.partition("=")
            yield known(key, default, kind, files="str" in kind and not _LIST.search(kind))


def rows_of(choice: Choice) -> Iterator[Row]:
    """The keys of a component; none of one that is not found."""
    try:
        component = read_component(str(choice.content.get("_target_", "")))
    except (TargetError, OSError, SyntaxError):
        return
    yield from component_rows(choice, component, {})


def known(
    key: str, default: str, kind: str, words: Sequence[str] = (), files: bool = False
) -> Known:
    """A key by its default and its type: words that are given, true or false, a usual number, or
    ``files``.
    """
    if words:
        return Known(key, tuple(words))
    if default in ("true", "false") or "bool" in kind:
        return Known(key, ("false", "true"))
    if re.fullmatch(r"-?\d[\d.e+-]*", default):
        return Known(key, (default,))
    return Known(key, files=files)


def alternatives(key: str, comment: str) -> Sequence[str]:
    """The words that a key at the root takes: those of its group, or named as ``a | b`` beside
    it.
    """
    if key == "fusions":
        return choices("fusion")
    listed = re.search(r"\w+(?: \| \w+)+", comment)
    return WORDS.get(key) or (listed[0].split(" | ") if listed else ())


def kinds_of(path: str, schema: type) -> Iterator[tuple[str, str]]:
    """Keys of a plain section and their types."""
    inner = subsections(schema)
    for name, hint in get_type_hints(schema).items():
        yield f"{path}.{name}", inspect.formatannotation(hint)
        if name in inner:
            yield from kinds_of(f"{path}.{name}", inner[name])


def known_groups(command: str, args: Sequence[str]) -> Iterator[tuple[str, list[Path]]]:
    """Groups of which a command makes a choice, and the folders that their choices are in."""
    dirs = config_dirs(args)
    made = default_groups(configuration(command, args))
    usual = [group for group in made if not group.startswith("override ")]
    for group in [*usual, *sorted(set(group_names(dirs)) - set(group_names()))]:
        yield (group if group in usual else f"+{group}"), dirs
