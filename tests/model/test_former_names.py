"""What was trained and stored under former names is still read, evaluated and resumed.

``before_the_move`` holds a run of the version before: a model of images and texts, 16 wide, six
steps of `mmtx pretrain`; the metrics of its evaluation; and of each tensor of the model, once that
version had resumed the run to ten steps, the sum and the norm. Its paths begin with ``OLD``.
"""

import json
import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mmtx_cli.config.introspect import PACKAGE as FOLDER
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.io.former_names import CLASSES, MODULES, PACKAGE, class_name, current_name, renamed
from tests.command_line import mmtx, succeeded

STORED = Path(__file__).parent / "before_the_move"
EXPECTED = json.loads((STORED / "expected.json").read_text())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy whose configuration names the folder that it lies in."""
    place = tmp_path / "before"
    shutil.copytree(STORED, place)
    config = place / "run" / "config.yaml"
    config.write_text(config.read_text().replace("OLD", str(place)))
    last = place / "run" / "checkpoints" / "last.ckpt"
    torch.save(at(torch.load(last, weights_only=True), place), last)
    return place


def at(node: Any, place: Path) -> Any:
    """Replace the beginning of all paths in a checkpoint."""
    if isinstance(node, dict):
        return type(node)((key, at(value, place)) for key, value in node.items())
    if isinstance(node, list | tuple):
        return type(node)(at(value, place) for value in node)
    return node.replace("OLD", str(place)) if isinstance(node, str) else node


@pytest.mark.parametrize("old", MODULES)
def test_a_former_module_is_gone_and_its_successor_exists(old):
    assert not FOLDER.joinpath(*old.split(".")).with_suffix(".py").is_file()
    import_module(PACKAGE + MODULES[old])


@pytest.mark.parametrize("old", CLASSES)
def test_a_former_class_is_gone_and_its_successor_exists(old):
    text = "\n".join(path.read_text() for path in FOLDER.rglob("*.py"))
    classes = set(re.findall(r"^class (\w+)", text, re.M))
    assert (old in classes, CLASSES[old] in classes) == (False, True)


def test_names_are_replaced_wherever_they_are():
    old = "mmtx_cli.layer.voting.Vote"
    new = "mmtx_cli.layer.score_fusion.ScoreFusion"
    stored = {"a": [{"_target_": old, "b": 1}, None], "c": "layer.voting.Vote", "d": 1.5}
    assert renamed(stored) == {
        "a": [{"_target_": new, "b": 1}, None],
        "c": "layer.voting.Vote",
        "d": 1.5,
    }
    assert class_name("their.layer.voting.Vote") == "their.layer.voting.Vote"


@pytest.mark.parametrize(
    ("target", "former", "current"),
    [
        ("mmtx_cli.head.captioning.CaptioningHead", "says", "target"),
        ("mmtx_cli.head.captioning.CaptioningHead", "reads", "streams"),
        ("mmtx_cli.head.retrieval.RetrievalHead", "at", "k"),
        ("their.head.CaptioningHead", "reads", "reads"),
    ],
)
def test_former_arguments_of_heads_are_renamed(target, former, current):
    assert renamed({"_target_": target, former: [1]}) == {"_target_": target, current: [1]}
    if former != current:
        assert current_name(f"head.h.{former}") == f"head.h.{current}"


def test_the_stored_model_has_names_of_before():
    text = (STORED / "run" / "model" / "config.json").read_text()
    head = read_config(str(STORED / "run" / "model"))["model"]["head"]["masked_language"]
    assert "mmtx_cli.head.masked_language.MaskedLanguageHead" in text
    assert head["_target_"] == renamed("mmtx_cli.head.masked_language.MaskedLanguageHead")


@pytest.mark.parametrize("ckpt", EXPECTED["metrics"])
@pytest.mark.quick_cases(1)
def test_it_is_evaluated_to_the_same_figures(place, ckpt):
    run = succeeded(
        mmtx(
            "eval",
            f"ckpt={place / ckpt}",
            f"run_dir={place / 'eval'}",
            f"data.path={place / 'scenes' / 'scenes.jsonl'}",
            "bootstrap=20",
            "data.num_workers=0",
            "trainer.accelerator=cpu",
        )
    )
    found = json.loads((run / "result.json").read_text())
    assert found["count"] == EXPECTED["count"]
    expected = EXPECTED["metrics"][ckpt]
    assert {name: found["metrics"][name] for name in expected} == pytest.approx(expected, rel=1e-3)


@pytest.mark.slow
def test_it_is_resumed_to_the_same_weights(place):
    run = place / "run"
    succeeded(mmtx("pretrain", "resume=true", f"run_dir={run}", "trainer.max_steps=10"))
    found = json.loads((run / "result.json").read_text())
    assert found["metrics"]["val/loss"] == pytest.approx(EXPECTED["resumed"]["val/loss"], rel=1e-4)
    weights = load_file(run / "model" / "model.safetensors")
    assert weights.keys() == EXPECTED["resumed"]["norms"].keys()
    for name, tensor in weights.items():
        sums = [float(tensor.double().sum()), float(tensor.double().norm())]
        assert sums == pytest.approx(EXPECTED["resumed"]["norms"][name], abs=1e-4), name
    text = (run / "config.yaml").read_text()
    assert "masked_language.MaskedLanguageHead" not in text
