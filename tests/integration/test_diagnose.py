"""What each modality contributes where theory knows it: the picture says all, the text nothing."""

import json
import re

import pytest

from mmtx_cli.synthetic.fusion_lab import make_lab
from tests.command_line import mmtx, succeeded

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("diagnose"),
]  # so that the model is trained once

MODEL_ARGS = ["encoder.audio=null", "encoder.image.width=32", "encoder.text.width=16", "dim=32"]


@pytest.fixture(scope="module")
def diagnosed(place):
    make_lab(place / "unique", num=400, size=32, seed=0, workers=1, task="unique")
    train = ["experiment=fusion_lab", "fusion=pooled_concat", "data.path=unique/fusion_lab.jsonl"]
    some = ["data.batch_size=32", "trainer.max_steps=80", "trainer.val_every=80"]
    succeeded(mmtx("finetune", *train, *some, *MODEL_ARGS, "run_dir=unique_run", cwd=place))
    done = mmtx(
        "eval",
        "ckpt=unique_run",
        "modality_importance=true",
        "bootstrap=200",
        "run_dir=diag",
        cwd=place,
    )
    return succeeded(done), done.stdout


def test_the_metrics_show_which_modality_matters(diagnosed):
    folder, _ = diagnosed
    result = json.loads((folder / "result.json").read_text())
    whole = result["metrics"]["classification/accuracy"]
    assert whole > 0.9
    found = result["contribution"]["classification"]
    assert set(found) == {"image", "text"}
    assert set(found["image"]) == {"shuffled", "zeroed", "absent", "alone", "probe"}

    def accuracy(modality, kind):
        return found[modality][kind]["metrics"]["accuracy"]

    assert accuracy("image", "shuffled") < 0.75
    assert found["image"]["shuffled"]["change"]["accuracy"] < -0.2
    assert found["image"]["shuffled"]["intervals"]["accuracy"][1] < 0
    assert accuracy("text", "shuffled") > whole - 0.1
    assert accuracy("image", "alone") == accuracy("text", "absent")
    assert accuracy("image", "probe") > 0.9
    assert accuracy("text", "probe") < 0.75
    assert result["metrics"]["classification/ece"] < 0.5


def test_they_are_shown(diagnosed):
    folder, shown = diagnosed
    assert "linear probe" in shown
    unused = r"classification [^:.\n]*\b{}: [^.\n]*another sample"
    assert re.search(unused.format("text"), shown)
    assert not re.search(unused.format("image"), shown)
    page = (folder / "report.html").read_text()
    assert re.search(unused.format("text"), page)
    assert "Calibration" in page
