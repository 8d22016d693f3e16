import json
import re
import shlex
import sys

import pytest
import yaml

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.redact import HIDDEN
from mmtx_cli.runs.run_dir import open_run, redacted_command
from tests.messages import raises

SECRET = "abcdef12345"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setenv("MYTOKEN", SECRET)
    monkeypatch.setenv("SHORT_TOKEN", "ab")
    monkeypatch.setattr(sys, "argv", ["mmtx", "finetune", "seed=3"])
    for name in ("RANK", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("arg", "shown"),
    [
        ("seed=3", "seed=3"),
        ("logger.wandb.api_key=xyz", f"logger.wandb.api_key={HIDDEN}"),
        ("+a={token: xyz, b: 1}", f"+a={{token: {HIDDEN}, b: 1}}"),
        (f"data.root=/mnt/{SECRET}", f"data.root=/mnt/{HIDDEN}"),
        ("data.root=${oc.env:MYTOKEN}", "data.root=${oc.env:MYTOKEN}"),
        ("-m", "-m"),
        ("run_dir='a b'", "run_dir='a b'"),
    ],
)
def test_the_command_line_can_be_pasted_and_holds_no_secret(arg, shown, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mmtx", "finetune", arg])
    assert shlex.split(redacted_command()) == ["mmtx", "finetune", shown]


def test_the_folder_documents_the_run(tmp_path):
    run_dir = open_run({"run_dir": str(tmp_path / "a" / "b"), "z": 3, "x": [SECRET]})
    assert (run_dir / "config.yaml").read_text().startswith("run_dir: ")
    written = yaml.safe_load((run_dir / "config.yaml").read_text())
    assert list(written.items())[1:] == [("z", 3), ("x", [HIDDEN])], "in the order given"
    environment = json.loads((run_dir / "environment.json").read_text())
    assert environment["command"] == "mmtx finetune seed=3"
    assert {"mmtx", "python", "torch", "cores"} <= environment.keys()


def test_only_the_first_process_writes(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert list(open_run({"run_dir": str(tmp_path / "run")}).iterdir()) == []


@pytest.mark.parametrize("name", ["last.ckpt", "previous.ckpt", "best.ckpt"])
def test_a_trained_run_is_not_written_over(name, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / name).touch()
    with raises(ConfigError, f"run_dir={tmp_path}: ", "trained model", "resume=true"):
        open_run({"run_dir": str(tmp_path)})
    open_run({"run_dir": str(tmp_path), "resume": True})


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with raises(ConfigError, f"run_dir={path}: ") as caught:
            open_run({"run_dir": str(path)})
        assert re.search(r": (File exists|Not a directory)", str(caught.value))
