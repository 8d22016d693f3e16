"""The scripts that shells read, and how soon they are answered."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time

import pytest

from tests.command_line import environment, error_message, mmtx
from tests.messages import mentions

SHELLS = ("bash", "zsh", "fish")
COMPLETE = """
printf '#!/bin/sh\\nexec "%s" -m mmtx_cli "$@"\\n' "$PYTHON" > mmtx; chmod +x mmtx
PATH="$PWD:$PATH"
COMP_WORDBREAKS='{breaks}'
eval "$(mmtx {install})"
COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
{function}
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p mmtx
"""  # noqa: E501


def bash(folder, line, breaks, install="completion bash", function="_mmtx_completion"):
    script = COMPLETE.format(
        line=line, words=line, breaks=breaks, install=install, function=function
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        env=environment(PYTHON=sys.executable),
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    *words, registered = done.stdout.splitlines()
    assert registered == "complete -o nospace -F _mmtx_completion mmtx"
    return words


@pytest.mark.parametrize(
    ("line", "breaks", "found"),
    [
        ("mmtx fi", " =", "finetune"),
        # where "=" ends a word, what stands behind it is replaced
        ("mmtx finetune head=capt", " ", "head=captioning"),
        ("mmtx finetune head=capt", " =", "captioning"),
        ("mmtx finetune trainer.deterministic=", " =", "false"),
        ("./mmtx finetune data.resize_mode=cr", " =", "crop"),
    ],
)
def test_bash(tmp_path, line, breaks, found):
    assert bash(tmp_path, line, breaks)[0] == found


@pytest.mark.parametrize("install", ["finetune -sc install=bash", "-sc install=bash"])
def test_as_hydra_spells_it(tmp_path, install):
    words = "mmtx finetune head=capt"
    assert bash(tmp_path, words, " ", install, "hydra_bash_completion") == ["head=captioning"]


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_its_script(shell, tmp_path):
    script = mmtx("completion", shell).stdout
    assert "mmtx -sc query=" in script or "-sc query=bash" in script
    assert mmtx("finetune", "--shell-completion", f"install={shell}").stdout == script
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on the PATH")
    path = tmp_path / "script"
    path.write_text(script)
    assert subprocess.run([shell, "-n", path], capture_output=True).stderr == b""


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_requests_completions(shell):
    """By the environment; what stands behind the cursor does not count."""
    line = "mmtx eval split=v"
    for more, point in (("", ""), (" ckpt=x", str(len(line)))):
        done = mmtx("-sc", f"query={shell}", COMP_LINE=line + more, COMP_POINT=point)
        # readline replaces what stands behind "="
        assert (done.stdout, done.stderr) == ("val\n" if shell == "bash" else "split=val\n", "")


@pytest.mark.parametrize(
    "args", [["completion"], ["completion", "tcsh"], ["finetune", "-sc"], ["-sc", "query=tcsh"]]
)
def test_an_unknown_shell(args):
    mentions(error_message(mmtx(*args)), "bash, zsh or fish", '\n  eval "$(mmtx completion bash)"')


def test_completing_imports_nothing_heavy(tmp_path):
    """An import of torch, Hydra or OmegaConf would be felt at every TAB."""
    code = (
        "import sys; from mmtx_cli.cli import main; main(['-sc', 'query=bash']); "
        "print(*{'torch', 'hydra', 'numpy', 'PIL', 'rich'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(COMP_LINE="mmtx finetune head=captioning head.captioning.label_s"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"head.captioning.label_smoothing=\n\n", done.stdout)


LINES = {
    r"mmtx eval data.path=my\ f": r"mmtx eval data.path=my\ file.jsonl ",
    'mmtx eval data.path="my f': 'mmtx eval data.path="my file.jsonl" ',
    "mmtx eval 'data.path=my f": "mmtx eval 'data.path=my file.jsonl' ",
    "mmtx predict 'inputs=[my": "mmtx predict 'inputs=[my file.jsonl' ",
    "mmtx eval data.path='dee": "mmtx eval data.path='deep/er/",
    "mmtx eval data.path=dee": "mmtx eval data.path=deep/",
    "mmtx finetune head=capt": "mmtx finetune head=captioning ",
}


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash on the PATH")
def test_what_stands_on_the_line(tmp_path):
    """Typed into a terminal, with a Tab; Ctrl-G writes the line into a file."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    for name in ("my file.jsonl", "deep/er/one.csv", "deep/er/two.csv"):
        (tmp_path / name).touch()
    bin_ = tmp_path / ".bin"
    bin_.mkdir()
    (bin_ / "mmtx").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mmtx_cli "$@"\n')
    (bin_ / "mmtx").chmod(0o755)
    start = f'''PATH="{bin_}:$PATH"; PS1=; eval "$(mmtx completion bash)"
dump() {{ printf "%s\\n" "$READLINE_LINE" >> "{tmp_path}/.typed"; READLINE_LINE=; }}
bind -x '"\\C-g": dump' ; bind "set bell-style none"; set +o histexpand
'''
    (tmp_path / ".rc").write_text(start)
    here, there = pty.openpty()
    shell = subprocess.Popen(
        ["bash", "--noprofile", "--rcfile", str(tmp_path / ".rc"), "-i"],
        cwd=tmp_path,
        env=environment(TERM="dumb", INPUTRC="/dev/null"),
        stdin=there,
        stdout=there,
        stderr=there,
        start_new_session=True,
    )
    typed = "".join(f"{line}\t\x07" for line in LINES)
    try:
        os.write(here, typed.encode())
        limit = time.monotonic() + 240
        found: list[str] = []
        while len(found) < len(LINES) and time.monotonic() < limit:
            if select.select([here], [], [], 0.1)[0]:
                os.read(here, 4096)
            if (tmp_path / ".typed").exists():
                found = (tmp_path / ".typed").read_text().split("\n")[:-1]
    finally:
        shell.kill()
        shell.wait()
        os.close(here)
        os.close(there)
    assert found == list(LINES.values())
