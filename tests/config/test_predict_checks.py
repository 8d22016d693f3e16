"""Errors of ``mmtx predict`` that are found before anything heavy is imported."""

import pytest

from mmtx_cli.config.validate import check
from mmtx_cli.errors import ConfigError
from tests.messages import faults_mention
from tests.tiny import composed

WORDS = "encoder/text=transformer"
QUESTION = ("text: ", "question", "text='what color is it?'")
FEATURES = "encoder/image=precomputed"


def faults(*args, **keys):
    """Of a model of these parts, asked about a picture unless ``keys`` say otherwise."""
    cfg = composed("fusion=concat", *args)
    asked = {"inputs": "a.jpg", "text": None, "texts": None, "embeddings": False}
    path = keys.pop("path", None)
    cfg = {**cfg, "command": "predict", **asked, **keys, "data": {"path": path}}
    try:
        check(cfg)
    except ConfigError as error:
        return list(error.faults)
    return []


def test_a_classifier_needs_no_more_than_files():
    assert faults("encoder/image=vit", "head=classification") == []
    assert faults("encoder/image=vit", WORDS, "head=classification", text="a title") == []


@pytest.mark.parametrize(
    "args", [["head=vqa"], ["head=captioning", "head.captioning.target=answers"]]
)
def test_a_question_needs_a_model_that_answers(args):
    args = ["encoder/image=vit", WORDS, *args]
    faults_mention(faults(*args), QUESTION)
    assert faults(*args, text="what is it?") == []
    assert faults(*args, inputs=None, path="rows.jsonl") == []  # each row has its own


def test_a_model_of_features_reads_no_files():
    args = [FEATURES, "encoder/text=precomputed", "head=regression"]
    faults_mention(
        faults(*args),
        ("inputs: ", "text (features), image (features)", "data.path=MANIFEST.jsonl"),
    )
    assert faults(*args, inputs=None, path="rows.jsonl") == []
    faults_mention(faults(*args, inputs=None, text="fine"), ("text: ", "head"))
    assert faults("encoder/image=vit", "encoder/text=precomputed", "head=regression") == []


def test_texts_are_for_a_model_that_compares_them():
    dual = ["encoder/image=vit", WORDS, "head=contrastive"]
    faults_mention(faults(*dual), ("head.contrastive: ", "texts="))
    assert faults(*dual, texts=["a dog"]) == faults(*dual, embeddings=True) == []
    several = ["encoder/image=vit", WORDS, "head=[classification,contrastive]"]
    assert faults(*several) == []
    found = faults("encoder/image=vit", "encoder/audio=ast", "head=contrastive", texts=["a dog"])
    faults_mention(found, ("texts: ", "text encoder"))
