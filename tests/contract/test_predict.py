"""What ``mmtx predict`` says by each head that mmtx has."""

import json
from functools import cache
from itertools import chain

import numpy as np
import pytest
import torch
from PIL import Image

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.cross_checks import trait
from mmtx_cli.config.groups import accepted_options, load_choices
from mmtx_cli.config.predict_checks import prediction_faults
from mmtx_cli.io.quoting import quoted
from tests.messages import faults_mention, mentions
from tests.predicting import model_folder, predict
from tests.tiny import DIM, LABELS, REPRESENTATIVE, composed, tiny_model

CLASS = {"prediction", "probability", "top"}
FIELDS = {
    "captioning": {"caption", "score"},
    "classification": CLASS,
    "contrastive": {"nearest"},
    "logit_distillation": CLASS,
    "matching": {"probability"},
    "ordinal": CLASS,
    "regression": {"prediction"},
    "vqa": CLASS,
}
"""What a line holds of each head that predicts; the others give embeddings alone."""
OWN_EMBEDDINGS = {
    "contrastive": [
        "contrastive.audio",
        "contrastive.image",
        "contrastive.text",
        "contrastive.video",
    ],
    **{f"distillation_{name}": [f"distillation_{name}"] for name in REPRESENTATIVE},
}
CHOICES = load_choices(["head"], accepted_options("head", "finetune"), [conf_dir()])
HEADS = [head.name for head in CHOICES if trait(head.content, "trains") is None]
"""Without those that only train another head of a model further."""
PARTS = (
    *("encoder/audio=ast", "encoder.audio.stem=patch", "head.matching.pair=[image,text]"),
    *(f"head.distillation_{name}.teacher=null" for name in REPRESENTATIVE),
    *(f"head.distillation_{name}.teacher_width=8" for name in REPRESENTATIVE),
    *("head.logit_distillation.teacher=null", "head.captioning.max_length=6"),
)
"""What all heads need to be those of one model, whose teachers are not there any more."""
COLORS = ("red", "green", "blue")
ERRORS = {3: ["image", "known format"], 4: ["model", "(text, image, video, audio)"]}
"""By row of the manifest."""


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Rows without split and targets: whole, without text, without picture, of a broken file,
    with nothing at all, whole; the texts are of different lengths.
    """
    folder = tmp_path_factory.mktemp("rows")
    for name, color in enumerate(COLORS):
        Image.new("RGB", (70, 64), color).save(folder / f"{name}.png")
    (folder / "broken.png").write_text("no picture")
    rows = [
        {"image": "0.png", "text": "a red ball"},
        {"image": "1.png"},
        {"text": "what color is it?"},
        {"image": "broken.png", "text": "a blue star"},
        {},
        {"image": "2.png", "text": "a blue star and a green box and a red ball"},
    ]
    path = folder / "new.jsonl"
    path.write_text("\n".join(json.dumps({"id": f"r{i}", **row}) for i, row in enumerate(rows)))
    return path


@pytest.fixture(scope="module")
def predicted(manifest, tmp_path_factory):
    """Asks a model that has every head about the manifest; gives the run folder and the lines."""
    place = tmp_path_factory.mktemp("asked")
    folder = model_folder(place / "model", HEADS, [*REPRESENTATIVE], args=PARTS)
    texts = 'texts=["a red ball","a blue star","a cat"]'
    common = [f"ckpt={quoted(folder)}", f"data.path={quoted(manifest)}", texts]

    @cache
    def ask(*args):
        run_dir = place / ("+".join(args) or "plain")
        return run_dir, predict(run_dir, *common, *args)

    return ask


WHOLE = ("embeddings=true", "data.batch_size=1")


def test_lines_are_those_of_the_rows(predicted):
    _, lines = predicted(*WHOLE)
    assert [line["id"] for line in lines] == [f"r{i}" for i in range(6)]
    for i, line in enumerate(lines):
        if i in ERRORS:
            mentions(line["error"], *ERRORS[i])
        assert set(line) == {"id", "inputs"} | ({"error"} if i in ERRORS else {*FIELDS})


@pytest.mark.parametrize("head", FIELDS)
def test_a_head_that_predicts(head, predicted):
    _, lines = predicted(*WHOLE)
    messages = [line[head] for i, line in enumerate(lines) if i not in ERRORS]
    for each in messages:
        assert each is None or set(each) == FIELDS[head]
    if head == "contrastive":
        assert [own["nearest"].keys() if own else None for own in messages] == [
            {"image"}, {"image"}, None, {"image"},
        ]  # fmt: skip
    elif head == "matching":  # of what is there alone nothing can be said
        assert [own is not None for own in messages] == [True, False, False, True]
    else:
        assert None not in messages
    assert messages[0] != messages[-1]


@pytest.mark.parametrize("head", FIELDS)
def test_predictions_do_not_depend_on_the_batch(head, predicted):
    (_, lines), (_, others) = predicted(*WHOLE), predicted("data.batch_size=6")
    for line, other in zip(lines, others, strict=True):
        assert rounded(line.get(head)) == rounded(other.get(head))


def rounded(value):
    """Numbers of another batch differ in their last digits."""
    if isinstance(value, float):
        return pytest.approx(value, abs=1e-4)
    if isinstance(value, dict):
        return {key: rounded(x) for key, x in value.items()}
    return [rounded(x) for x in value] if isinstance(value, list) else value


@pytest.mark.parametrize("head", ["", *OWN_EMBEDDINGS])
def test_embeddings(head, predicted):
    run_dir, _ = predicted(*WHOLE)
    streams = [*REPRESENTATIVE, "fused"]
    for name in OWN_EMBEDDINGS.get(head, streams):
        array = np.load(run_dir / "embeddings" / f"{name}.npy")
        assert array.dtype == np.float32
        assert len(array) == 6
        there = np.isfinite(array).all(axis=1)
        assert (there | np.isnan(array).all(axis=1)).all()
        of = name.rpartition(".")[2].removeprefix("distillation_")
        rows = {"fused": [0, 1, 2, 5], "image": [0, 1, 5], "text": [0, 2, 5]}
        assert np.flatnonzero(there).tolist() == rows.get(of, []), name
        if head == "contrastive" and there.any():
            norms = np.linalg.norm(array[there], axis=1)
            np.testing.assert_allclose(norms, 1, rtol=1e-5)


def test_all_embeddings_are_named_and_no_others(predicted):
    run_dir, _ = predicted(*WHOLE)
    names = {path.stem for path in (run_dir / "embeddings").iterdir()}
    assert names == {*REPRESENTATIVE, "fused", *chain(*OWN_EMBEDDINGS.values())}
    shapes = json.loads((run_dir / "result.json").read_text())["embeddings"]
    assert shapes.keys() == names
    assert shapes["fused"] == [6, DIM]
    run_dir, _ = predicted("data.batch_size=6")
    assert {path.name for path in run_dir.iterdir()} == {
        "config.yaml", "environment.json", "predictions.jsonl", "quarantine.jsonl", "result.json",
        ".lock",
    }  # fmt: skip


def test_a_new_head_has_expected_fields():
    """SAID, above, has every head that predicts."""
    heads = load_choices(["head"], HEADS, [conf_dir()])
    assert {head.name for head in heads if trait(head.content, "predicts")} == FIELDS.keys()


@pytest.mark.parametrize("head", [head for head in HEADS if head not in FIELDS])
def test_a_head_that_predicts_nothing_is_refused_at_once(head):
    cfg = {**composed(f"head={head}"), "command": "predict"}
    (fault,) = prediction_faults(cfg)
    parts = ("embeddings=true", "mmtx finetune ckpt=RUN head=classification")
    faults_mention([fault], (f"head.{head}: ", *parts))
    assert not [*prediction_faults({**cfg, "embeddings": True})]


def test_class_predictions(predicted):
    _, lines = predicted(*WHOLE)
    _, shorter = predicted("top=1")
    for line, short in zip(lines, shorter, strict=True):
        if "error" in line:
            continue
        outputs = line["classification"]
        names, probabilities = zip(*outputs["top"], strict=True)
        assert {*names} == {*LABELS}
        assert sum(probabilities) == pytest.approx(1)
        assert [*probabilities] == sorted(probabilities, reverse=True)
        assert (outputs["prediction"], outputs["probability"]) == (names[0], probabilities[0])
        assert rounded(outputs["top"][:1]) == rounded(short["classification"]["top"])


def test_texts_are_named_by_their_cosines(predicted):
    run_dir, lines = predicted(*WHOLE)
    found = lines[0]["contrastive"]["nearest"]["image"]
    assert {text for text, _ in found} == {"a red ball", "a blue star", "a cat"}
    cosines = [cosine for _, cosine in found]
    assert cosines == sorted(cosines, reverse=True)
    image, text = (
        np.load(run_dir / "embeddings" / f"contrastive.{name}.npy")[0] for name in ("image", "text")
    )
    assert dict(found)["a red ball"] == pytest.approx(float(image @ text), abs=1e-5)


def test_several_labels():
    """All that are predicted are among those that are named, however few these are."""
    model = tiny_model(heads=["classification"], args=["multi_label=true"])
    logits = torch.tensor([[2.0, -1.0, 3.0], [-1.0, -2.0, -3.0]])
    rows = model.head["classification"].predictions([{"logits": own} for own in logits], None, 1)
    assert [row["prediction"] for row in rows] == [["red", "blue"], []]
    assert [[name for name, _ in row["top"]] for row in rows] == [["blue", "red"], ["red"]]
