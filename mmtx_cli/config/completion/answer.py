"""Compute the completions of a partial command line."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from mmtx_cli.config.completion.key import known_groups, known_keys
from mmtx_cli.config.completion.line import BREAKS, current_of, words_of
from mmtx_cli.config.completion.script import INSTALL
from mmtx_cli.config.conf_tree import CONFIG_DIR, config_name
from mmtx_cli.config.groups import accepted_options
from mmtx_cli.errors import MmtxError

COMPLETION = "completion"
OPTIONS = ("--help", "--cfg", "--resolve", "--multirun", "--config-dir")
OPEN = ("=", "/", ".")
"""Endings of completions that can be continued."""
CFG = ("job", "hydra", "all")


def completions(
    line: str, commands: Sequence[str], shell: str, breaks: str | None = None
) -> list[str]:
    """Return the completions of the last word of a line, in order.

    zsh and fish replace the whole word; bash replaces only readline's part of it.

    Args:
        line: The command line up to the cursor.
        commands: The names of all commands.
        shell: bash, zsh or fish.
        breaks: The characters that end a word in readline (COMP_WORDBREAKS).
    """
    words = words_of(line)[1:]
    found = sorted_completions(words, commands)
    if shell != "bash":
        return found
    current = current_of(line, BREAKS if breaks is None else breaks)
    # readline closes the quote after a single match: extend an open match until it branches
    while current.quote and len(found) == 1 and found[0].endswith(OPEN):
        extended = sorted_completions([*words[:-1], found[0]], commands)
        if not extended or extended == found:
            break
        found = extended
    return [current.inserted(word) for word in found]


def sorted_completions(words: Sequence[str], commands: Sequence[str]) -> list[str]:
    """Return the completions of the last word, sorted and without duplicates."""
    try:
        return sorted(dict.fromkeys(word_completions(words, commands))) if words else []
    except MmtxError:  # e.g. invalid YAML; do not print errors while the user types
        return []


def word_completions(words: Sequence[str], commands: Sequence[str]) -> Iterator[str]:
    """Yield the completions of the last word."""
    *before, word = words
    if not before:
        yield from with_prefix(word, [*commands, COMPLETION, "--help", "--version"])
    elif before[0] == COMPLETION:
        yield from with_prefix(word, INSTALL if len(before) == 1 else ())
    elif before[0] in commands:
        yield from command_completions(before[0], before[1:], word)


def command_completions(command: str, before: Sequence[str], word: str) -> Iterator[str]:
    """Yield the completions of a word after a command: a flag, a key, or the value of a key."""
    last = before[-1] if before else ""
    if last in CONFIG_DIR:
        yield from files(word, folders=True)
    elif last in ("--cfg", "-c"):
        yield from with_prefix(word, CFG)
    elif word.startswith("-"):
        yield from with_prefix(word, OPTIONS)
    elif "=" in word:
        key, _, value = word.partition("=")
        yield from (f"{key}={completion}" for completion in values(command, before, key, value))
    else:
        sign = word[: len(word) - len(word.lstrip("+~"))]
        yield from (
            f"{sign}{completion}" for completion in keys(command, before, word.lstrip("+~"), sign)
        )


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
    for name in with_prefix(word, names):
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
    prefix, item = value[:start], value[start:]
    name = key.lstrip("+~").partition("@")[0]
    words: Sequence[str] = ()
    paths = False
    for group, dirs in known_groups(command, before):
        if group.lstrip("+") == name:
            words = accepted_options(name, config_name(command, before), dirs)
    if not words:
        for candidate in known_keys(command, before):
            if candidate.key == name:
                words, paths = candidate.values, candidate.files
    used = prefix.strip("[").split(",")
    yield from (
        f"{prefix}{completion}" for completion in with_prefix(item, words) if completion not in used
    )
    if paths:
        yield from (f"{prefix}{completion}" for completion in files(item))


def with_prefix(word: str, names: Sequence[str] | dict[str, str]) -> Iterator[str]:
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
