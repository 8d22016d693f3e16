"""What commit 2b19cb4 trained and stored is evaluated to its figures and resumed to its weights.

``before_checksums`` holds of that commit: ``run``, a run of images and texts, 8 wide, four steps of
`mmtx pretrain` (its last.ckpt is compressed beside it, and has the weights of its model folder);
the metrics of its evaluation; of each tensor, once that commit had resumed the run to eight steps,
the sum and the norm; and the model folders ``one`` and ``two`` with what their encoders made of
``inputs``. Its paths begin with ``OLD``; the data are those of ``before_the_move``.
"""

import gzip
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.checkpoint import load_checkpoint, model_tensors, read_config, read_weights
from mmtx_cli.io.former_forms import FORMS, restored
from mmtx_cli.io.former_names import PACKAGE
from mmtx_cli.model.build import build_model
from mmtx_cli.model.match_weights import build_fitting
from mmtx_cli.types import ModalityInput
from tests.command_line import mmtx, succeeded
from tests.model.test_former_names import at

STORED = Path(__file__).parent / "before_checksums"
SCENES = Path(__file__).parent / "before_the_move" / "scenes"
EXPECTED = json.loads((STORED / "expected.json").read_text())


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """The run as it was left, whose configuration names the folder that it lies in."""
    place = tmp_path / "early"
    shutil.copytree(STORED / "run", place / "run")
    shutil.copytree(SCENES, place / "scenes")
    for file in (place / "run" / "config.yaml", place / "run" / "model" / "config.json"):
        file.write_text(file.read_text().replace("OLD", str(place)))
    last = place / "run" / "checkpoints" / "last.ckpt"
    last.parent.mkdir()
    last.write_bytes(gzip.decompress((STORED / "last.ckpt.gz").read_bytes()))
    torch.save(at(torch.load(last, weights_only=True), place), last)
    weights = model_tensors(load_checkpoint(last))
    save_file(weights, place / "run" / "model" / "model.safetensors")
    return place


def inputs() -> dict[str, ModalityInput]:
    def wave(*shape: int) -> torch.Tensor:
        count = torch.Size(shape).numel()
        return torch.arange(count, dtype=torch.float32).mul(0.37).sin().view(shape)

    def pixels(*shape: int) -> torch.Tensor:
        return (wave(*shape) * 127 + 128).to(torch.uint8)

    return {
        "image": ModalityInput(pixels(2, 1, 3, 16, 16), torch.ones(2, 1, dtype=torch.bool)),
        "video": ModalityInput(
            pixels(2, 4, 3, 16, 16), torch.tensor([[True] * 4, [True] * 3 + [False]])
        ),
        "audio": ModalityInput(wave(2, 60, 160), torch.arange(60) < torch.tensor([[60], [41]])),
    }


@pytest.mark.parametrize("ckpt", ["run/checkpoints/last.ckpt", "run"])
def test_it_is_evaluated_to_the_same_figures(place, ckpt):
    run = succeeded(
        mmtx(
            "eval",
            f"ckpt={place / ckpt}",
            f"run_dir={place / 'eval'}",
            "bootstrap=20",
            "data.num_workers=0",
            "trainer.accelerator=cpu",
        )
    )
    found = json.loads((run / "result.json").read_text())
    assert found["count"] == EXPECTED["count"]
    expected = EXPECTED["metrics"]
    assert {name: found["metrics"][name] for name in expected} == pytest.approx(expected, rel=1e-4)


def test_it_is_resumed_to_the_same_weights(place):
    run = place / "run"
    done = mmtx("pretrain", "resume=true", f"run_dir={run}", "trainer.max_steps=8")
    succeeded(done)
    assert "data.length_bucketing=true" in done.stderr
    found = json.loads((run / "result.json").read_text())
    assert found["metrics"]["val/loss"] == pytest.approx(EXPECTED["val/loss"], rel=1e-4)
    weights = model_tensors(load_checkpoint(run / "checkpoints" / "last.ckpt"))
    assert weights.keys() == EXPECTED["resumed"].keys()
    for name, tensor in weights.items():
        sums = [float(tensor.double().sum()), float(tensor.double().norm())]
        assert sums == pytest.approx(EXPECTED["resumed"][name], rel=1e-4, abs=1e-4), name
    for ckpt in (run, run / "checkpoints" / "last.ckpt"):  # what it wrote is of the early form too
        assert read_config(str(ckpt))["early"]


@pytest.mark.parametrize("name", ["one", "two"])
def test_its_encoders_compute_the_same(name):
    folder = str(STORED / name)
    config = read_config(folder)
    model = build_fitting(lambda: build_model(config), read_weights(folder), folder).eval()
    for modality, field in inputs().items():
        if modality in model.encoder:
            with torch.no_grad():
                tokens = model.encoder[modality](field)
            sums = (tokens.x * tokens.mask[..., None]).double().sum(dim=(0, 1)).tolist()
            assert sums == pytest.approx(EXPECTED["encoded"][f"{name}.{modality}"], abs=1e-3)


@pytest.mark.parametrize("target", FORMS)
def test_a_present_form_is_left_as_it_is(target):
    module = FORMS[target][0]
    group, node = target.split(".")[0], {"_target_": PACKAGE + target, "streams": ["a", "b"]}
    config = {"encoder": {}, "head": {}, group: {"x": node}}
    assert restored(config, [f"{group}.x.{module}.weight", "y"]) == config
    assert restored(config, []) == config
    former = restored(config, [f"{group}.x.weight"])[group]["x"]
    assert former == {**FORMS[target][2], **node, "_target_": PACKAGE + FORMS[target][1]}


def test_a_form_between_is_refused(tmp_path):
    """Weights that are neither of the present nor of the former form are never loaded."""
    folder = tmp_path / "one"
    shutil.copytree(STORED / "one", folder)
    weights = read_weights(str(folder))
    weights["encoder.video.stem.norm.weight"] = weights.pop("encoder.video.stem.weight")
    save_file(weights, folder / "model.safetensors")
    config = read_config(str(folder))
    with pytest.raises(CheckpointError, match="1 tensors are missing, 1 are unexpected"):
        build_fitting(lambda: build_model(config), weights, "one")
