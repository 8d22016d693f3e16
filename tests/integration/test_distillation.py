"""Distillation from trained models, as a user runs it."""

import json

import pytest
import torch
from safetensors.torch import load_file

from tests.command_line import CONTRASTIVE, TINY, TINY_IMAGE, mmtx, refused, succeeded
from tests.messages import mentions

STUDENT = (
    *TINY_IMAGE[:2],
    "encoder.image.width=8",
    "encoder.image.depth=1",
    "encoder.image.num_heads=2",
    *TINY,
    "fusion=concat",
)


@pytest.fixture(scope="module")
def classifier(place, scenes):
    """The run folder of a tiny classifier of pictures."""
    args = [*TINY_IMAGE, *TINY, scenes, "fusion=concat", "head=classification", "run_dir=classes"]
    return succeeded(mmtx("finetune", *args, cwd=place))


@pytest.mark.slow
def test_doubts_and_features_of_a_trained_model(place, scenes, classifier):
    args = [
        *STUDENT,
        scenes,
        "head=[logit_distillation,distillation_image]",
        "head.logit_distillation.teacher=classes",
        "head.distillation_image.teacher=classes",
        "run_dir=student",
        "trainer.max_steps=4",
    ]
    run = place / succeeded(mmtx("pretrain", *args, cwd=place))
    config = json.loads((run / "model" / "config.json").read_text())
    assert [node["teacher"] for node in config["model"]["head"].values()] == [None, None]
    weights = load_file(run / "model" / "model.safetensors")
    assert weights["head.distillation_image.project.1.weight"].shape == (16, 16)
    assert not any("teacher" in name for name in weights)
    again = succeeded(
        mmtx("pretrain", "resume=true", "run_dir=student", "trainer.max_steps=6", cwd=place)
    )
    assert (
        torch.load(place / again / "checkpoints/last.ckpt", weights_only=True)["global_step"] == 6
    )
    for ckpt in ("student", "student/checkpoints/last.ckpt"):
        folder = succeeded(mmtx("eval", f"ckpt={ckpt}", scenes, "bootstrap=5", cwd=place))
        result = json.loads((place / folder / "result.json").read_text())
        assert "logit_distillation/accuracy" in result["metrics"]


def test_a_text_teacher_determines_the_tokenizer(place, scenes, contrastive):
    dual = contrastive.removeprefix("ckpt=")
    args = [
        *CONTRASTIVE,
        scenes,
        "data.text=captions",
        "data.tokenizer_vocab_size=400",
        "fusion=decision",
        "head=[contrastive,distillation_text]",
        f"head.distillation_text.teacher={dual}",
        "run_dir=words",
    ]
    succeeded(mmtx("pretrain", *args, cwd=place))
    read = [(place / run / "model" / "tokenizer.json").read_text() for run in (dual, "words")]
    assert read[0] == read[1]


@pytest.mark.parametrize(
    ("args", "parts"),
    [
        (
            ["head=logit_distillation"],
            ["head.logit_distillation.teacher: ", "head.logit_distillation.teacher=RUN"],
        ),
        (
            ["head=logit_distillation", "head.logit_distillation.teacher=nowhere"],
            ["head.logit_distillation.teacher=nowhere: ", "file or folder"],
        ),
        (
            [
                "head=logit_distillation",
                "head.logit_distillation.teacher=classes",
                "data.resize_mode=squash",
            ],
            ["head.logit_distillation.teacher: ", "resize_mode=crop", "squash"],
        ),
        (
            ["head=distillation_image", "encoder/image@head.distillation_image.teacher=vit"],
            ["head.distillation_image.teacher.weights: ", "key"],
        ),
    ],
)
def test_faults_of_a_teacher_are_reported(place, scenes, classifier, args, parts):
    mentions(refused("pretrain", *STUDENT, scenes, *args, cwd=place), *parts)
