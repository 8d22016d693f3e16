"""Compute the completions of a partial command line."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmtx_cli.config.completion.key import known_groups, known_keys
from mmtx_cli.config.completion.line import BREAKS, current_of, words_of
from mmtx_cli.config.completion.script import INSTALL
from mmtx_cli.config.conf_tree import CONFIG_DIR, configuration
from mmtx_cli.config.groups import offered
from mmtx_cli.errors import MmtxError

COMPLETION = "completion"
OPTIONS = ("--help", "--cfg", "--resolve", "--multirun", "--config-dir")
OPEN = ("=", "/", ".")
"""Endings of completions that can be continued."""
CFG = ("job", "hydra", "all")


def answer(line: str, commands: Sequence[str], shell: str, breaks: str | None = None) -> list[str]:
    """Return the completions of the last word of a line, in order.

    zsh and fish replace the whole word; bash replaces only readline's part of it.

    Args:
        line: The command line up to the cursor.
        commands: The names of all commands.
        shell: bash, zsh or fish.
        breaks: The characters that end a word in readline (COMP_WORDBREAKS).
    """
    words = words_of(line)[1:]
    found = fits(words, commands)
    if shell != "bash":
        return found
    current = current_of(line, BREAKS if breaks is None else breaks)
    # readline closes the quote after a single match: extend an open match until it branches
    while current.quote and len(found) == 1 and found[0].endswith(OPEN):
        further = fits([*words[:-1], found[0]], commands)
        if not further or further == found:
            break
        found = further
    return [current.inserted(word) for word in found]


def fits(words: Sequence[str], commands: Sequence[str]) -> list[str]:
    """Return the completions of the last word, sorted and without duplicates."""
    try:
        return sorted(dict.fromkeys(fitting(words, commands))) if words else []
    except MmtxError:  # e.g. invalid YAML; do not print errors while the user types
        return []


def fitting(words: Sequence[str], commands: Sequence[str]) -> Iterator[str]:
    """Yield the completions of the last word."""
    *before, word = words
    if not before:
        yield from begin(word, [*commands, COMPLETION, "--help", "--version"])
    elif before[0] == COMPLETION:
        yield from begin(word, INSTALL if len(before) == 1 else ())
    elif before[0] in commands:
        yield from in_command(before[0], before[1:], word)


def in_command(command: str, before: Sequence[str], word: str) -> Iterator[str]:
    """Yield the completions of a word after a command: a flag, a key, or the value of a key."""
    last = before[-1] if before else ""
    if last in CONFIG_DIR:
        yield from files(word, folders=True)
    elif last in ("--cfg", "-c"):
        yield from begin(word, CFG)
    elif word.startswith("-"):
        yield from begin(word, OPTIONS)
    elif "=" in word:
        key, _, value = word.partition("=")
        yield from (f"{key}={fit}" for fit in values(command, before, key, value))
    else:
        sign = word[: len(word) - len(word.lstrip("+~"))]
        yield from (f"{sign}{fit}" for fit in keys(command, before, word.lstrip("+~"), sign))


def keys(command: str, before: Sequence[str], word: str, sign: str) -> Iterator[str]:
    """Yield groups and keys, each up to its next part: ``data.`` before ``data.path=``.

    Args:
        command: The command.
        before: The words between the command and this one.
        word: The word without its sign.
        sign: Prefix of the override: ``+``, ``++``, ``~`` or empty.
    """
    names = [f"{key.key}=" for key in known_keys(command, before)]
    names += [f"{group}=".lstrip(sign or " ") for group, _ in known_groups(command, before)]
    for name in begin(word, names):
        rest = name[len(word) :]
        ends = [i for i in (rest.find("."), rest.find("/")) if i >= 0]
        yield word + (rest[: min(ends) + 1] if ends else rest)


def values(command: str, before: Sequence[str], key: str, value: str) -> Iterator[str]:
    """Yield the completions of a value; for a list, of its last item.

    Args:
        command: The command.
        before: The words between the command and this one.
        key: The key, with any sign.
        value: The value typed so far.
    """
    start = max(value.rfind("["), value.rfind(",")) + 1
    listed, item = value[:start], value[start:]
    plain = key.lstrip("+~").partition("@")[0]
    words: Sequence[str] = ()
    paths = False
    for group, dirs in known_groups(command, before):
        if group.lstrip("+") == plain:
            words = offered(plain, configuration(command, before), dirs)
    if not words:
        for known in known_keys(command, before):
            if known.key == plain:
                words, paths = known.values, known.files
    taken = listed.strip("[").split(",")
    yield from (f"{listed}{fit}" for fit in begin(item, words) if fit not in taken)
    if paths:
        yield from (f"{listed}{fit}" for fit in files(item))


def begin(word: str, names: Sequence[str] | dict[str, str]) -> Iterator[str]:
    """Return an iterator over the names that start with a word."""
    return (name for name in names if name.startswith(word))


def files(word: str, folders: bool = False) -> Iterator[str]:
    """Yield the files and folders whose paths start with a word; folders end with a slash."""
    head, name = os.path.split(word)
    base = word[: len(word) - len(name)]
    try:
        entries = sorted(os.scandir(Path(head or ".").expanduser()), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        hidden = entry.name.startswith(".") and not name.startswith(".")
        if entry.name.startswith(name) and not hidden and (entry.is_dir() or not folders):
            yield f"{base}{entry.name}{'/' if entry.is_dir() else ''}"
