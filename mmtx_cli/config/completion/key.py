"""The keys that can be completed on a command line, and the possible values of each."""

import inspect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_type_hints

from mmtx_cli.config.conf_tree import (
    ROOT_GROUPS,
    choices,
    config_dirs,
    config_name,
    default_groups,
    group_names,
    root_keys,
)
from mmtx_cli.config.constraints import ALLOWED_VALUES
from mmtx_cli.config.groups import Choice, selected_choices, selected_options
from mmtx_cli.config.help.command_help import component_rows, option_rows, root_rows
from mmtx_cli.config.help.components import read_component
from mmtx_cli.config.help.settings import Row, section_rows
from mmtx_cli.config.introspect import TargetError
from mmtx_cli.config.root_types import TYPES
from mmtx_cli.config.schema import SECTIONS
from mmtx_cli.config.validate import subsections

_TEXT = "str | None"
_LIST = re.compile(r"(?i)\b(?:list|tuple|sequence|set|dict|mapping)\b")
SPECIAL_VALUES = {
    ("data_import", "missing"): ("error", "skip"),
    ("data_index", "bad"): ("error", "skip"),
    ("compare", "sweep"): ("fusions",),
}
"""Values of keys that have another meaning in another command, or whose comment lists none."""
FILES = frozenset(
    (
        *("ckpt", "run_dir", "runs", "inputs", "texts", "references", "predictions"),
        *("out", "manifest", "root", "images", "annotations", "questions", "captions", "source"),
        *("splits.train", "splits.val", "splits.test"),
        *("data.path", "data.root", "data.cache", "data.tokenizer"),
    )
)
"""Root and section keys that take file or folder paths; other text keys take names."""


@dataclass(frozen=True)
class Known:
    """A key and its possible values; with ``files``, file paths are possible, too."""

    key: str
    values: tuple[str, ...] = ()
    files: bool = False


def known_keys(command: str, args: Sequence[str]) -> Iterator[Known]:
    """Yield the keys of a command, of its sections, and of the components selected in ``args``."""
    dirs, name = config_dirs(args), config_name(command, args)
    options = list(selected_choices(selected_options(name, args, dirs), dirs))
    mine = [row for choice in options if choice.group in ROOT_GROUPS for row in option_rows(choice)]
    above = ""
    for row, comment in [*root_rows(name, {}), *mine]:
        above = f"{above} {row[2:]}" if row.startswith("#") else above
        if not row.startswith("#"):
            key, _, default = row.partition("=")
            words = SPECIAL_VALUES.get((name, key)) or alternatives(
                key, f"{above} {comment}".strip()
            )
            yield completion_key(key, default, TYPES.get(key, _TEXT), words, key in FILES)
            above = ""
    present = root_keys(name)
    for section, schema in SECTIONS.items():
        kinds = dict(kinds_of(section, schema))
        for row, _ in section_rows(name, section, schema, {}) if section in present else ():
            key, _, default = row.partition("=")
            if "[" not in key:
                kind = kinds.get(key, _TEXT)
                yield completion_key(key, default, kind, ALLOWED_VALUES.get(key, ()), key in FILES)
    for choice in options:
        for row, kind in component_keys(choice):
            key, _, default = row.partition("=")
            yield completion_key(key, default, kind, files="str" in kind and not _LIST.search(kind))


def component_keys(choice: Choice) -> Iterator[Row]:
    """Yield the keys of a component; none if its source is not found."""
    try:
        component = read_component(str(choice.content.get("_target_", "")))
    except (TargetError, OSError, SyntaxError):
        return
    yield from component_rows(choice, component, {})


def completion_key(
    key: str, default: str, kind: str, words: Sequence[str] = (), files: bool = False
) -> Known:
    """Return a key with its possible values.

    Args:
        key: The key.
        default: Its default; a number is suggested as a value.
        kind: Its type; a bool has the values true and false.
        words: Its possible values, if they are known.
        files: Whether it takes file paths.
    """
    if words:
        return Known(key, tuple(words))
    if default in ("true", "false") or "bool" in kind:
        return Known(key, ("false", "true"))
    if re.fullmatch(r"-?\d[\d.e+-]*", default):
        return Known(key, (default,))
    return Known(key, files=files)


def alternatives(key: str, comment: str) -> Sequence[str]:
    """Return the values of a root key: options of its group, or ``a | b`` in its comment."""
    if key == "fusions":
        return choices("fusion")
    listed = re.search(r"\w+(?: \| \w+)+", comment)
    return ALLOWED_VALUES.get(key) or (listed[0].split(" | ") if listed else ())


def kinds_of(path: str, schema: type) -> Iterator[tuple[str, str]]:
    """Yield the keys of a plain section with their types."""
    inner = subsections(schema)
    for name, hint in get_type_hints(schema).items():
        yield f"{path}.{name}", inspect.formatannotation(hint)
        if name in inner:
            yield from kinds_of(f"{path}.{name}", inner[name])


def known_groups(command: str, args: Sequence[str]) -> Iterator[tuple[str, list[Path]]]:
    """Yield the groups that a command selects from, with the config folders to search."""
    dirs = config_dirs(args)
    defaults = default_groups(config_name(command, args))
    for group in [*defaults, *sorted(set(group_names(dirs)) - set(group_names()))]:
        yield (group if group in defaults else f"+{group}"), dirs
