"""Read untrusted YAML with limits: a few lines with aliases may expand to gigabytes."""

from pathlib import Path
from typing import Any

import yaml

from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, read_text

MAX_NODES = 100_000
"""Maximum number of values that the aliases (``*name``) of a file may add."""
MAX_DEPTH = 100
MAX_BYTES = 50_000_000


class YamlTextError(ValueError):
    """A text is not YAML or exceeds a limit; ``line`` counts from 1 and is None if unknown."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def load_yaml(text: str) -> Any:
    """Parse a YAML text into plain values.

    Raises:
        YamlTextError: if it is not YAML, is nested too deeply, or its aliases expand too far.
    """
    check_yaml(text)
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise yaml_error(error) from error
    except RecursionError as error:
        raise YamlTextError(f"nested more than {MAX_DEPTH} levels deep") from error
    except ValueError as error:  # a date or number that Python cannot represent
        raise YamlTextError(f"invalid YAML: {error}") from error


def read_yaml(path: Path) -> Any:
    """Parse a YAML file; raise as ``load_yaml`` does."""
    return load_yaml(read_yaml_text(path))


def read_yaml_text(path: Path) -> str:
    """Read the text of a regular file; devices and pipes may have no end.

    Raises:
        YamlTextError: if it is not a regular file, not UTF-8, or larger than ``MAX_BYTES``.
    """
    try:
        return read_text(path, MAX_BYTES)
    except RefusedFileError as error:
        raise YamlTextError(str(error)) from error


def check_yaml(text: str) -> None:
    """Raise YamlTextError if aliases add more than ``MAX_NODES`` values to a text.

    Parser events are counted before any value is built, so that neither time nor memory depends on
    the size of the expansion.
    """
    if "&" in text and "*" in text:
        try:
            _count(text)
        except yaml.YAMLError as error:
            raise yaml_error(error) from error


def _count(text: str) -> None:
    anchors: dict[str | None, tuple[int, int]] = {}  # values and depth below each
    open_nodes: list[tuple[str | None, int, int]] = []  # anchor, values and depth so far
    written = 0
    event: Any
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        line = event.start_mark.line + 1
        written += 1
        if isinstance(event, yaml.CollectionStartEvent):
            anchors.pop(event.anchor, None)  # an alias within its own anchor has no end
            open_nodes.append((event.anchor, 1, 0))
            if len(open_nodes) > MAX_DEPTH:
                raise YamlTextError(f"nested more than {MAX_DEPTH} levels deep", line)
            continue
        if isinstance(event, yaml.AliasEvent):
            if any(name == event.anchor for name, _, _ in open_nodes):
                raise YamlTextError(
                    f"alias *{event.anchor} is inside its own anchor &{event.anchor}", line
                )
            size, depth = anchors.get(event.anchor, (1, 0))
        elif isinstance(event, yaml.ScalarEvent):
            size, depth = 1, 0
            anchors[event.anchor] = size, depth
        elif isinstance(event, yaml.CollectionEndEvent):
            name, size, depth = open_nodes.pop()
            anchors[name] = size, depth
        else:
            continue
        if open_nodes:
            name, above, deepest = open_nodes[-1]
            open_nodes[-1] = name, above + size, max(deepest, depth + 1)
            total = sum(values for _, values, _ in open_nodes)
            if total > MAX_NODES + written:
                raise YamlTextError(f"aliases expand to more than {MAX_NODES} values", line)
            if len(open_nodes) + depth > MAX_DEPTH:
                raise YamlTextError(f"nested more than {MAX_DEPTH} levels deep", line)


def yaml_error(error: yaml.YAMLError) -> YamlTextError:
    """Return a parser error as a YamlTextError with a one-line message."""
    mark = getattr(error, "problem_mark", None)
    what = getattr(error, "problem", None) or str(error).replace("\n", "")
    return YamlTextError(f"invalid YAML: {what}", mark.line + 1 if mark else None)
