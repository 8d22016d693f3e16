"""Ctrl-C while ``mmtx`` starts."""

import signal
import subprocess
import sys

import pytest

from tests.command_line import environment

START = """
import os, signal, sys

module = sys.argv[1]

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            os.kill(os.getpid(), signal.SIGINT)

# a shell starts commands in the background with SIGINT ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.meta_path.insert(0, Interrupting())
sys.argv = ["mmtx", "score"]
from mmtx_cli.__main__ import main
sys.exit(main())
"""


@pytest.mark.parametrize(
    "module", ["mmtx_cli.cli", "mmtx_cli.errors", "hydra", "mmtx_cli.config.unknown_keys"]
)
def test_ctrl_c_while_modules_are_imported_ends_without_a_traceback(module, tmp_path):
    result = subprocess.run(
        [sys.executable, "-c", START, module], cwd=tmp_path, env=environment(),
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert (result.returncode, result.stdout) == (130, "")
    assert result.stderr.startswith("mmtx")
    assert result.stderr.endswith(": interrupted\n")
    assert "Traceback" not in result.stderr


def test_ctrl_c_that_is_ignored_stays_ignored(tmp_path):
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN);"
        "from mmtx_cli.io.early_interrupt import end_on_interrupt as end; end();"
        "assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN"
    )
    subprocess.run([sys.executable, "-c", code], env=environment(), check=True, timeout=60)


def test_what_was_changed_is_changed_back():
    from mmtx_cli.io import early_interrupt

    before = signal.getsignal(signal.SIGINT)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        early_interrupt.end_on_interrupt()
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        early_interrupt.raise_on_interrupt()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
