"""What the Python API gives of each head that mmtx has is what ``mmtx predict`` writes."""

import json

import numpy as np
import pytest
from PIL import Image

import mmtx_cli
from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.cross_checks import trait
from mmtx_cli.config.groups import load_choices
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.quoting import quoted
from tests.messages import raises
from tests.predicting import model_folder, predict
from tests.tiny import REPRESENTATIVE

from .test_predict import FIELDS, HEADS, PARTS

TEXT, TEXTS = "what color is it?", ["a red ball", "a blue star", "a cat"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model that has every head, files, and the run folder and lines of the command."""
    place = tmp_path_factory.mktemp("api")
    folder = model_folder(place / "model", HEADS, [*REPRESENTATIVE], args=PARTS)
    files = [str(place / f"{name}.png") for name in ("red", "green", "blue")]
    for path in files:
        Image.new("RGB", (70, 64), path.split("/")[-1][:-4]).save(path)
    files.insert(1, str(place / "broken.png"))
    (place / "broken.png").write_text("no picture")
    args = [f"ckpt={quoted(folder)}", f"inputs=[{','.join(map(quoted, files))}]"]
    args += [f"text={quoted(TEXT)}", f"texts={json.dumps(TEXTS)}", "embeddings=true"]
    lines = predict(place / "run", *args, "data.eval_batch_size=4")
    return mmtx_cli.load(folder, device="cpu", batch_size=4), files, place / "run", lines


def test_predictions(whole):
    model, files, _, lines = whole
    found = model.predict(files, text=TEXT, texts=TEXTS, errors="return")
    assert found == lines
    assert set(found[0]) == {"path", "text", *FIELDS}


def test_embeddings(whole):
    model, files, run, _ = whole
    found = model.embed(files, text=TEXT, errors="return")
    stored = {path.stem: np.load(path) for path in (run / "embeddings").iterdir()}
    assert found.keys() == stored.keys()
    for name, array in found.items():
        np.testing.assert_array_equal(array, stored[name], err_msg=name)


@pytest.mark.parametrize("head", HEADS)
def test_scores(head, whole):
    """By heads that compare texts with inputs; others are refused by name."""
    model, files, _, lines = whole
    files = [files[0], *files[2:]]
    (content,) = (each.content for each in load_choices(["head"], [head], [conf_dir()]))
    if head != "captioning" and not trait(content, "contrastive"):
        with raises(ConfigError, f"head='{head}'", "captioning", "contrastive"):
            model.score(files, TEXTS, text=TEXT, head=head)
        return
    scores = model.score(files, ["a"], text=TEXT, head=head)
    assert scores.shape == (3, 1)
    assert np.isfinite(scores).all()
    if head == "contrastive":
        scores = model.score(files, TEXTS, text=TEXT, head=head)
        for row, line in zip(scores, [lines[0], *lines[2:]], strict=True):
            nearest = dict(line["contrastive"]["nearest"]["image"])
            np.testing.assert_allclose(row, [nearest[text] for text in TEXTS], atol=1e-5)


def test_a_head_must_be_chosen(whole):
    model, files, *_ = whole
    with raises(ConfigError, "head=", "captioning", "contrastive"):
        model.score(files, TEXTS)
