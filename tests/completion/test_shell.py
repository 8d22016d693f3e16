"""The scripts that shells read, and how soon they are answered."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.command_line import environment, mmtx, told

SHELLS = ("bash", "zsh", "fish")
ASK = """
printf '#!/bin/sh\\nexec "%s" -m mmtx_cli "$@"\\n' "$PYTHON" > mmtx; chmod +x mmtx
PATH="$PWD:$PATH"
eval "$(mmtx {install})"
COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
{function}
printf '%s\\n' "${{COMPREPLY[@]}}"
complete -p mmtx
"""  # noqa: E501


def bash(folder, line, words, install="completion bash", function="_mmtx_completion"):
    script = ASK.format(line=line, words=words, install=install, function=function)
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
    ("line", "words", "found"),
    [
        ("mmtx fi", "mmtx fi", "finetune"),
        ("mmtx finetune head=capt", "mmtx finetune head=capt", "head=captioning"),
        # as bash splits a line where COMP_WORDBREAKS has "=", and what it then replaces
        ("mmtx finetune head=capt", "mmtx finetune head = capt", "captioning"),
        ("mmtx finetune trainer.deterministic=", "mmtx finetune trainer.deterministic =", "false"),
        ("./mmtx finetune data.fit=cr", "./mmtx finetune data.fit = cr", "crop"),
    ],
)
def test_bash(tmp_path, line, words, found):
    assert bash(tmp_path, line, words)[0] == found


@pytest.mark.parametrize("install", ["finetune -sc install=bash", "-sc install=bash"])
def test_as_hydra_spells_it(tmp_path, install):
    words = "mmtx finetune head=capt"
    assert bash(tmp_path, words, words, install, "hydra_bash_completion") == ["head=captioning"]


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
def test_a_shell_asks(shell):
    """By the environment; what stands behind the cursor does not count."""
    line = "mmtx eval split=v"
    for more, point in (("", ""), (" ckpt=x", str(len(line)))):
        done = mmtx("-sc", f"query={shell}", COMP_LINE=line + more, COMP_POINT=point)
        assert (done.stdout, done.stderr) == ("split=val\n", "")


@pytest.mark.parametrize(
    "args", [["completion"], ["completion", "tcsh"], ["finetune", "-sc"], ["-sc", "query=tcsh"]]
)
def test_a_shell_that_is_none(args):
    assert 'write bash, zsh or fish; then a shell completes after\n  eval "$(mmtx' in told(
        mmtx(*args)
    )


def test_completing_imports_nothing_heavy(tmp_path):
    """An import of torch, Hydra or OmegaConf would be felt at every TAB."""
    code = (
        "import sys; from mmtx_cli.cli import main; main(['-sc', 'query=bash']); "
        "print(*{'torch', 'hydra', 'numpy', 'PIL', 'rich'} & {*sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=environment(COMP_LINE="mmtx finetune head=captioning head.captioning.num_b"),
        capture_output=True,
        text=True,
        check=True,
    )
    assert re.fullmatch(r"head.captioning.num_beams=\n\n", done.stdout)
