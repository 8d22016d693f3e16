"""What is printed arrives as plain text, or its loss is reported."""

import io
import json
import os
import subprocess
import sys

import pytest
from rich.progress import track
from rich.table import Table

from mmtx_cli.cli import main
from mmtx_cli.io.console import make_console
from mmtx_cli.io.standard_streams import plain_text, standard_output
from tests.command_line import environment, refused
from tests.messages import mentions

HOSTILE = "a\x1b[2J\x1b]0;title\x07\x08\x7f\x9b31m\u202eb\u2028c\rd\0"
SHOWN = r"a\x1b[2J\x1b]0;title\x07\x08\u007f\u009b31m\u202eb\u2028c\x0dd\x00"


def printed(encoding, *texts, stderr=False):
    """The bytes of an output in that encoding after these texts were printed."""
    out = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (sys.stdout, out) if stderr else (out, sys.stderr)
    try:
        with standard_output():
            for text in texts:
                print(text, file=sys.stderr if stderr else sys.stdout, flush=True)
    finally:
        sys.stdout, sys.stderr = before
    return out.buffer.getvalue()


@pytest.mark.parametrize("stderr", [False, True])
def test_control_characters_are_shown_as_escapes(stderr):
    assert printed("utf-8", HOSTILE, stderr=stderr).decode() == f"{SHOWN}\n"
    assert plain_text("a\tb\nö中\U0001f600 مرحبا") == "a\tb\nö中\U0001f600 مرحبا"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "utf-8"])
def test_json_stays_the_same_in_any_encoding(encoding):
    row = {"path": f"é中\U0001f600\udcff{HOSTILE}", "caption": "\\u4e2d"}
    for ensure_ascii in (False, True):
        text = printed(encoding, json.dumps(row, ensure_ascii=ensure_ascii)).decode(encoding)
        assert json.loads(text) == row
        assert not set(text[:-1]) & set("\x1b\x7f\x9b\u202e\n")


def test_tables_and_their_colors():
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    out.isatty = lambda: True
    before, sys.stdout = sys.stdout, out
    try:
        with standard_output():
            table = Table("a wide title")
            table.add_row("a\x1b[2J")
            make_console(width=60, force_terminal=True, no_color=False).print(table)
            print("\x1b[1mnot ours\x1b[0m", flush=True)
    finally:
        sys.stdout = before
    shown = out.buffer.getvalue().decode()
    assert r"a\x1b[2J" in shown
    assert "\x1b[2J" not in shown
    assert "\x1b[1m" in shown  # of the table's own title
    assert r"\x1b[1mnot ours\x1b[0m" in shown


def test_bars_with_hostile_labels():
    out = io.StringIO()
    console = make_console(width=80, force_terminal=True)
    console.file = out
    assert list(track([1, 2], "a\x1b[2J\x9b31m", console=console)) == [1, 2]
    assert r"a\x1b[2" in out.getvalue()  # cut to the width that it had before
    assert "\x1b[2J" not in out.getvalue().replace("\x1b[2K", "")
    assert "\x9b" not in out.getvalue()


def test_a_bar_of_a_library_is_one_line_after_the_other():
    assert printed("utf-8", "\r 10%|█", "\r 20%|██").decode() == "\n 10%|█\n\n 20%|██\n"


@pytest.mark.parametrize(
    "args",
    [
        ("finetune", "sed\x1b[2J=3"),
        ("finetune", "data.path=\x1b]0;x\x07.jsonl"),
        ("data", "action=check", "manifest=\x1b[31m.jsonl"),
        ("\x1b[2J",),
        ("eval", "ckpt=\u202egnp"),
    ],
)
def test_messages_about_hostile_names(args, tmp_path):
    message = refused(*args, cwd=tmp_path)
    assert not set(message) & set("\x1b\x07\u202e")
    assert r"\x1b" in message or r"\u202e" in message


def test_messages_hold_no_secrets(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_AUTH", "hunter2xyz")
    message = refused(
        "finetune", "data.path=${oc.env:MY_AUTH}.jsonl", "seed=hunter2xyz", cwd=tmp_path
    )
    assert "hunter2" not in message
    assert "***" in message


def test_standard_streams_are_put_back(capsys):
    before = sys.stdout, sys.stderr, sys.stdout.errors, sys.stderr.errors
    assert main(["--version"]) == 0
    assert main(["nothing"]) == 2
    assert (sys.stdout, sys.stderr, sys.stdout.errors, sys.stderr.errors) == before


def shell(line, cwd, **env):
    """A line of a shell in which $MMTX is the command."""
    return subprocess.run(
        ["bash", "-c", line],
        cwd=cwd,
        env=environment(
            **{"MMTX": f"{sys.executable} -m mmtx_cli", "PYTHONPATH": os.getcwd(), **env}
        ),
        capture_output=True,
        text=True,
        errors="replace",  # an output may be of another encoding
        timeout=120,
    )


def test_a_traceback_is_plain_too(tmp_path):
    done = shell(
        "$MMTX finetune $'sed\\x1b[2J=hunter2xyz'", tmp_path, MMTX_DEBUG="1", MY_AUTH="hunter2xyz"
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert r"sed\x1b[2J" in done.stderr
    assert not set(done.stderr) & {"\x1b"}
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("args", ["--help", "finetune --cfg job"])
def test_output_that_cannot_be_written(args, tmp_path):
    if not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    done = shell(f"$MMTX {args} > /dev/full", tmp_path)
    assert done.returncode == 1
    mentions(done.stderr, "mmtx: ", "standard output", "No space left on device\n")
    assert done.stderr.count("\n") == 1


def test_messages_that_cannot_be_written_leave_the_status(tmp_path):
    done = shell("$MMTX finetune sed=3 2> /dev/full", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_fault_and_no_file_takes_their_place(closed, tmp_path):
    done = shell(f"$MMTX data action=create num=10 out=scenes {closed}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert len((tmp_path / "scenes" / "scenes.jsonl").read_text().splitlines()) == 10
    assert shell(f"$MMTX finetune sed=3 {closed}", tmp_path).returncode == 2


def test_a_reader_that_leaves_early(tmp_path):
    done = shell("$MMTX finetune --help | head -1; echo ${PIPESTATUS[0]}", tmp_path)
    assert done.stdout.startswith("usage: mmtx finetune")
    assert done.stdout.splitlines()[-1] in ("0", "141")  # 0 where the pipe had room for all
    assert done.stderr == ""


NARROW = {
    "ascii output": {"PYTHONIOENCODING": "ascii"},
    "latin output": {"PYTHONIOENCODING": "latin-1"},
    "an ascii locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "both": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
}


@pytest.mark.parametrize("env", NARROW.values(), ids=NARROW)
def test_names_beyond_a_narrow_output(env, tmp_path):
    (tmp_path / "é中").mkdir()
    manifest = tmp_path / "é中" / "ü.jsonl"
    manifest.write_text('{"id": "ö", "split": "train", "image": "中.png", "captions": ["é"]}\n')
    done = shell("$MMTX data action=check manifest=é中/ü.jsonl", tmp_path, **env)
    assert done.returncode == 2
    mentions(done.stderr, ".jsonl:1: image: ")
    assert "Traceback" not in done.stderr
    assert r"\u4e2d" in done.stderr or "中" in done.stderr


@pytest.mark.parametrize("command", ["demo", "finetune", "score"])
@pytest.mark.parametrize("name", ["x" * 300, "new/" + "é" * 150, "x/" * 2500], ids=len)
def test_a_run_folder_with_a_name_that_is_too_long(command, name, tmp_path):
    messages = refused(command, f"run_dir='{name}'", cwd=tmp_path)
    assert messages.startswith(f"mmtx {command}: run_dir: ")
    assert "bytes" in messages
    assert len(messages) < 400
    assert list(tmp_path.iterdir()) == []
