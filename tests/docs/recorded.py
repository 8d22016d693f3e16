"""The commands of a page's blocks as a shell passes them on, with variables and loops resolved."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .pages import SHELL, Block, blocks

NOT_RUN = re.compile(r"not run: \S.*")
RUN = "run"
CALL = re.compile(r"(?:^|[;&|({]|\b(?:do|then|else)\b)\s*(?:\w+=\S*\s+)*mmtx\s", re.M)
REST = "…"
"""Stands for the arguments of the page's command before, except sections that are chosen anew."""
PRELUDE = """
PATH=/nonexistent
mmtx() { printf '%s\\0' "$BLOCK" "$#" "$@" >> "$RECORD"; }
command_not_found_handle() { echo OUTPUT; }
cd() { :; }
source() { :; }
"""
"""Only ``mmtx`` does something, and everything else succeeds."""


@dataclass(frozen=True)
class Command:
    """The arguments of ``mmtx``, and the block that runs it."""

    args: tuple[str, ...]
    block: Block

    def __str__(self) -> str:
        return f"line {self.block.line}: mmtx {' '.join(self.args)}"


def with_commands(text: str) -> list[Block]:
    """The blocks of a page that run ``mmtx``."""
    return [b for b in blocks(text) if b.language in SHELL and CALL.search(b.text)]


def commands(found: Sequence[Block], folder: Path) -> list[Command]:
    """Every command that the blocks run, in order; of those that differ only in numbers, the first.

    They are run by one shell in a folder without files, so that variables of earlier blocks are
    known in later ones. A block that the shell cannot read is an error.
    """
    script, record = folder / "blocks.sh", folder / "record"
    record.touch()
    lines = [PRELUDE]
    for number, block in enumerate(found):
        path = folder / f"block_{number}.sh"
        path.write_text(block.text, encoding="utf-8")
        lines.append(f"BLOCK={number}; builtin source {path}")
    script.write_text("\n".join(lines), encoding="utf-8")
    inside = folder / "empty"
    inside.mkdir()
    done = subprocess.run(
        ["/bin/bash", "--norc", str(script)],
        cwd=inside,
        env={"RECORD": str(record)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "syntax error" not in done.stderr, done.stderr
    read = completed(_read(record.read_text(encoding="utf-8"), found))
    first: dict[str, Command] = {}
    for command in read:
        first.setdefault(without_numbers(" ".join(command.args)), command)
    return list(first.values())


def without_numbers(text: str) -> str:
    """What runs of a loop over seeds or sizes have in common."""
    return re.sub(r"\d+", "0", text)


def _read(text: str, found: Sequence[Block]) -> list[Command]:
    words, read = iter(text.split("\0")[:-1]), []
    for number in words:
        count = int(next(words))
        read.append(Command(tuple(next(words) for _ in range(count)), found[int(number)]))
    return read


def completed(read: Sequence[Command]) -> list[Command]:
    """The commands with ``REST`` replaced."""
    whole: list[Command] = []
    for command in read:
        args = command.args
        if REST in args:
            own = tuple(arg for arg in args[1:] if arg != REST)
            anew = {_section(arg) for arg in own}
            rest = next(c.args for c in whole if c.args[0] == args[0])
            args = (args[0], *(a for a in rest[1:] if _section(a) not in anew), *own)
        whole.append(Command(args, command.block))
    return whole


def _section(arg: str) -> str:
    return re.split(r"[./=]", arg.partition("=")[0].rpartition("@")[2])[0]
