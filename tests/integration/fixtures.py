"""A data set and two trained models, made once, in a folder whose name is hard on every parser."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mmtx_cli import cli
from mmtx_cli.io.quoting import quoted
from mmtx_cli.synthetic.scenes import make_scenes
from tests.command_line import CAPTIONER, CONTRASTIVE, mmtx, succeeded

AWKWARD_NAME = 'a b, c=d [é] it\'s "so"'


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands of all tests run."""
    return tmp_path_factory.mktemp("place")


@pytest.fixture(scope="session")
def scenes(place: Path) -> str:
    """Override that names a manifest of 60 drawn scenes."""
    path = make_scenes(place / AWKWARD_NAME / "scenes", num=60, size=32, seed=0, workers=1)
    return f"data.path={quoted(str(path))}"


@pytest.fixture(scope="session")
def captioner(place: Path, scenes: str) -> str:
    """Override that names the run folder of a tiny captioner."""
    run = quoted(f"{AWKWARD_NAME}/captioner")
    args = [*CAPTIONER, scenes, f"run_dir={run}", "trainer.max_steps=4"]
    assert succeeded(mmtx("finetune", *args, cwd=place)) == place / AWKWARD_NAME / "captioner"
    return f"ckpt={run}"


@pytest.fixture(scope="session")
def contrastive(place: Path, scenes: str) -> str:
    """Override that names the run folder of a tiny dual encoder."""
    args = [*CONTRASTIVE, scenes, "data.text=captions", "run_dir=dual"]
    assert succeeded(mmtx("pretrain", *args, cwd=place)) == place / "dual"
    return "ckpt=dual"


@pytest.fixture
def in_process(
    place: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Standard error of a command that refuses what a user asks, without a process of its own."""

    def run(*args: str) -> str:
        monkeypatch.chdir(place)
        monkeypatch.setattr(sys, "argv", ["mmtx", *args])
        monkeypatch.setenv("MMTX_DEBUG", "0")
        assert cli.main([*args]) == 2
        return capsys.readouterr().err

    return run
