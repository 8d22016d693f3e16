"""``mmtx completion SHELL``, and Hydra's form of it: ``mmtx -sc install=SHELL``."""

import os
import sys
from collections.abc import Sequence

from mmtx_cli.config.completion.answer import COMPLETION, completions
from mmtx_cli.config.completion.script import INSTALL, UNINSTALL, WORD_BREAKS

FLAGS = ("-sc", "--shell-completion")
REMEDY = """shell must be bash, zsh or fish; to enable completion, add
  eval "$(mmtx completion bash)"          to ~/.bashrc
  eval "$(mmtx completion zsh)"           to ~/.zshrc
  mmtx completion fish | source           to ~/.config/fish/config.fish"""


def run(args: Sequence[str], commands: Sequence[str]) -> int:
    """Print a shell's completion script, or the completions of a line; return the exit status."""
    rest = [arg for arg in args if arg not in (*FLAGS, *commands)]
    request = rest[-1].removeprefix(COMPLETION) if rest else ""
    action, _, shell = request.rpartition("=")
    if shell not in INSTALL or action not in ("", "install", "uninstall", "query"):
        print(f"mmtx {COMPLETION}: {REMEDY}", file=sys.stderr)
        return 2
    if action == "query":
        line = os.environ.get("COMP_LINE", "")
        point = os.environ.get("COMP_POINT", "")
        line = line[: int(point)] if point.isdecimal() else line
        print("\n".join(completions(line, commands, shell, os.environ.get(WORD_BREAKS))))
    else:
        print((UNINSTALL if action == "uninstall" else INSTALL)[shell], end="")
    return 0
