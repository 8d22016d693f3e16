"""The words that fit where a command line is being written."""

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
"""Ends of words that go on."""
CFG = ("job", "hydra", "all")


def answer(line: str, commands: Sequence[str], shell: str, breaks: str | None = None) -> list[str]:
    """The words that may stand in place of the last one of a line, in order: of zsh and fish whole
    words, of bash what readline replaces, which ``breaks`` (COMP_WORDBREAKS) end.
    """
    words = words_of(line)[1:]
    found = fits(words, commands)
    if shell != "bash":
        return found
    current = current_of(line, BREAKS if breaks is None else breaks)
    # readline closes a quote behind a single word: what may go on is followed to where it forks
    while current.quote and len(found) == 1 and found[0].endswith(OPEN):
        further = fits([*words[:-1], found[0]], commands)
        if not further or further == found:
            break
        found = further
    return [current.inserted(word) for word in found]


def fits(words: Sequence[str], commands: Sequence[str]) -> list[str]:
    """What the last of the words may become, each once and in order."""
    try:
        return sorted(dict.fromkeys(fitting(words, commands))) if words else []
    except MmtxError:  # a file that is no YAML: a terminal where someone writes is no place for it
        return []


def fitting(words: Sequence[str], commands: Sequence[str]) -> Iterator[str]:
    """What the last of the words may become."""
    *before, word = words
    if not before:
        yield from begin(word, [*commands, COMPLETION, "--help", "--version"])
    elif before[0] == COMPLETION:
        yield from begin(word, INSTALL if len(before) == 1 else ())
    elif before[0] in commands:
        yield from in_command(before[0], before[1:], word)


def in_command(command: str, before: Sequence[str], word: str) -> Iterator[str]:
    """What a word behind a command may become: an option, a key, or a value of one."""
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
    """Groups and keys, each up to its next part: ``data.`` before ``data.path=``."""
    names = [f"{key.key}=" for key in known_keys(command, before)]
    names += [f"{group}=".lstrip(sign or " ") for group, _ in known_groups(command, before)]
    for name in begin(word, names):
        rest = name[len(word) :]
        ends = [i for i in (rest.find("."), rest.find("/")) if i >= 0]
        yield word + (rest[: min(ends) + 1] if ends else rest)


def values(command: str, before: Sequence[str], key: str, value: str) -> Iterator[str]:
    """What may stand behind a key; of a list, as its last item."""
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
    """The names that begin with a word."""
    return (name for name in names if name.startswith(word))


def files(word: str, folders: bool = False) -> Iterator[str]:
    """Files and folders whose paths begin with a word; folders end in a slash."""
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
