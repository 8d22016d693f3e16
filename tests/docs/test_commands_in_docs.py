"""Every command of the documentation is checked: a misspelled or renamed key must not stay there.

A block that cannot be checked has the comment ``<!-- not run: reason -->`` directly above it; one
with ``<!-- run -->`` is also run, by ``test_blocks_are_run``.
"""

import re
import sys
import tempfile
from pathlib import Path

import pytest

from .checked import Checker, stand_in
from .pages import PAGES, Block, name_of
from .recorded import CALL, NOT_RUN, REST, RUN, Command, commands, completed, with_commands

TEXTS = {name_of(page): page.read_text(encoding="utf-8") for page in PAGES}
WITH_COMMANDS = [name for name, text in TEXTS.items() if with_commands(text)]
FILE = re.compile(r"^`([\w/]+\.(?:py|yaml))`[^\n]*:\n\n```(?:python|yaml)\n(.*?)^```$", re.M | re.S)
"""A file that a page tells to write."""


@pytest.fixture(scope="module")
def unknown(tmp_path_factory):
    return stand_in(tmp_path_factory.mktemp("unknown"))


@pytest.fixture
def checker(tmp_path, unknown):
    """Checks the commands of a page; what they import is forgotten afterwards."""
    before, path = {*sys.modules}, [*sys.path]
    (tmp_path / "work").mkdir()
    yield Checker(tmp_path / "work", unknown)
    sys.path[:] = path
    for name in {*sys.modules} - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def write_files(text, folder):
    for name, content in FILE.findall(text):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")


def faults(text, checker):
    """What is wrong with each command of a page."""
    here = Path(tempfile.mkdtemp(dir=checker.folder.parent))
    write_files(text, checker.folder)
    found = [block for block in with_commands(text) if not NOT_RUN.fullmatch(block.mark)]
    every = commands(found, here)
    silent = {*found} - {command.block for command in every}
    yield from (f"line {block.line}: runs no command" for block in silent)
    for command in every:
        if fault := checker.faults(command.args):
            yield f"{command}\n{fault}"


QUICK = ("README.md", "docs/tasks/caption.md")
"""The pages that are read first. ``test_keys_in_docs`` checks the keys of all pages quickly."""


@pytest.mark.parametrize(
    "page", [pytest.param(p, marks=[pytest.mark.slow] * (p not in QUICK)) for p in WITH_COMMANDS]
)
def test_commands_are_valid(page, checker):
    assert "\n".join(faults(TEXTS[page], checker)) == ""


def test_marks_are_known_ones():
    for page, text in TEXTS.items():
        for block in with_commands(text):
            known = block.mark in ("", RUN) or NOT_RUN.fullmatch(block.mark)
            assert known, f"{page}:{block.line}: <!-- {block.mark} -->"


WRONG = {
    "a key": "mmtx finetune data.path=a.jsonl encoder/image=vit head=captioning fusion=concat "
    "trainer.max_stepz=3",
    "a key of a component": "mmtx finetune data.path=a.jsonl encoder/image=vit fusion=concat "
    "head=captioning encoder.image.dephts=3",
    "a choice": "mmtx finetune data.path=a.jsonl encoder/image=vitt fusion=concat head=captioning",
    "a group": "mmtx finetune data.path=a.jsonl encoders/image=vit fusion=concat head=captioning",
    "a command": "mmtx finetun data.path=a.jsonl",
    "a key of a trained model": "mmtx eval ckpt=runs/a head.captioning.num_beamz=3",
    "a key at the root": "mmtx caption ckpt=runs/a input=photos",
    "an action": "mmtx data action=creat out=scenes",
    "a key of an import": "mmtx data action=import importer=coco out=a.jsonl images=b split_by=c",
    "a task": "mmtx data action=create dataset=fusion_lab task=xorr out=a",
    "arguments of a comparison": "mmtx compare sweep=fusions \"train_args=['data.paths=a.jsonl']\"",
    "a fusion to compare": "mmtx compare sweep=fusions fusions=[gate] train_args=[seed=1]",
    "a module to cache": "mmtx data action=cache out=c data.path=a.jsonl encoder/image=vit "
    "modules=[encoder.images]",
    "a key that is set in a loop": "for k in lr lrr; do mmtx pretrain data.path=a.jsonl "
    "data.text=captions encoder/image=vit encoder/text=transformer optimizer.$k=1e-3; done",
    "a key in a sweep": "mmtx finetune -m data.path=a.jsonl encoder/image=vit fusion=concat "
    "head=classification encoder.image.depths=1,2",
    "a key of the demo": "mmtx demo nums=3",
    "a key of an export": "mmtx export ckpt=runs/a output=b",
    "a key of a score": "mmtx score reference=a predictions=b",
}


@pytest.mark.parametrize("line", WRONG.values(), ids=WRONG)
def test_a_wrong_command_is_found(line, checker):
    text = f"# Page\n\n```\n{line}\n```\n"
    assert len(list(faults(text, checker))) == 1


def test_marked_blocks_are_left_out(checker):
    assert (
        list(faults("<!-- not run: it is wrong -->\n```\nmmtx demo nums=3\n```\n", checker)) == []
    )
    assert list(faults("```json\nmmtx demo nums=3\n```\n", checker)) == []


def test_a_shell_resolves_what_a_block_says(tmp_path):
    text = (
        "D=some/where   # a comment\n"
        'for s in 1 2; do mmtx finetune seed=$s data.root=$D \\\n    "text=a b"; done\n'
        "cat > x.py <<'END'\nmmtx not a command\nEND\n"
        "T=$(python x.py); KEY=1 mmtx eval drop=[audio] ckpt=${T##*/} | head\n"
    )
    block = Block(1, "", text, "")
    read = [command.args for command in commands([block], tmp_path)]
    assert read == [
        ("finetune", "seed=1", "data.root=some/where", "text=a b"),  # and one with another seed
        ("eval", "drop=[audio]", "ckpt=OUTPUT"),
    ]


def test_an_ellipsis_is_the_rest_of_the_command_before():
    block = Block(1, "", "", "")
    first = Command(("pretrain", "a=1", "head=[x,y]", "head.x.weight=2"), block)
    second = Command(("pretrain", REST, "head=z", "encoder/image@head.z.teacher=t"), block)
    assert completed([first, second])[1].args == (
        "pretrain", "a=1", "head=z", "encoder/image@head.z.teacher=t",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("line", "calls"),
    [("mmtx demo", True), ("  mmtx eval ckpt=a", True), ("A=1 mmtx eval", True),
     ("for a in b; do mmtx eval", True), ("see the mmtx command", False), ("mmtx_cli", False)],
)  # fmt: skip
def test_which_lines_run_a_command(line, calls):
    assert bool(CALL.search(f"{line}\n")) is calls
