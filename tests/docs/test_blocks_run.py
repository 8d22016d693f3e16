"""The blocks of the documentation that are marked ``<!-- run -->`` do what they say."""

import shutil
import subprocess
import sys

import pytest

from tests.command_line import environment, mmtx

from .own_data import make
from .pages import PAGES, blocks, name_of
from .recorded import RUN, commands, with_commands
from .smaller import planned, smaller

TEXTS = {name_of(page): page.read_text("utf-8") for page in PAGES}
BLOCKS = {
    name: [block for block in with_commands(text) if block.mark == RUN]
    for name, text in TEXTS.items()
}
MARKED = [name for name, found in BLOCKS.items() if found]


@pytest.fixture(scope="module")
def own_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own_data")
    make(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", MARKED)
def test_blocks_are_run(page, own_data, tmp_path):
    (tmp_path / "shell").mkdir()
    place = shutil.copytree(own_data, tmp_path / "place")
    for command in commands(BLOCKS[page], tmp_path / "shell"):
        args = smaller(command.args)
        done = mmtx(*args, cwd=place)
        assert done.returncode == 0, (page, str(command), args, done.stdout, done.stderr)
    for block in blocks(TEXTS[page]):
        if block.language == "python" and block.mark == RUN:
            program = [sys.executable, "-c", block.text]
            done = subprocess.run(
                program, cwd=place, env=environment(), capture_output=True, text=True
            )
            assert done.returncode == 0, (page, block.text, done.stderr)


def test_every_task_has_blocks_that_are_run():
    tasks = {name for name in BLOCKS if name.startswith("docs/tasks/")}
    assert tasks <= {*MARKED}


def test_what_makes_a_command_quick():
    assert smaller(["demo"]) == ["demo"]
    assert smaller(["data", "action=check", "manifest=a"]) == ["data", "action=check", "manifest=a"]
    sweep = smaller(["finetune", "-m", "encoder/image=vit", "encoder.image.depth=2,4"])
    assert "encoder.image.depth=1" not in sweep
    assert "encoder.image.width=16" in sweep
    words = planned("train_args=['data.path=a','encoder/image=vit']")
    assert words.startswith("train_args=['data.path=a','encoder/image=vit','dim=16',")
    assert words.endswith("'encoder.image.num_heads=2']")
