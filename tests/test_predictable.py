"""What is told of ``mmtx predict`` before anything heavy is imported."""

import pytest

from mmtx_cli.check import check
from mmtx_cli.error import ConfigError
from tests.tiny import composed

WORDS = "encoder/text=transformer"
QUESTION = "text: this model answers questions; ask one, e.g. text='what colour is it?'"
FEATURES = "encoder/image=features"


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
    "args", [["head=vqa"], ["head=captioning", "head.captioning.says=answers"]]
)
def test_a_question_is_asked_of_a_model_that_answers(args):
    args = ["encoder/image=vit", WORDS, *args]
    assert faults(*args) == [QUESTION]
    assert faults(*args, text="what is it?") == []
    assert faults(*args, inputs=None, path="rows.jsonl") == []  # each row has its own


def test_a_model_of_features_reads_no_files():
    args = [FEATURES, "encoder/text=features", "head=regression"]
    assert faults(*args) == [
        "inputs: this model reads no files (encoders: text (features), image (features)); write "
        "data.path=MANIFEST.jsonl"
    ]
    assert faults(*args, inputs=None, path="rows.jsonl") == []
    assert faults(*args, inputs=None, text="fine") == [
        "text: no head of this model that says something reads a text; leave it out"
    ]
    assert faults("encoder/image=vit", "encoder/text=features", "head=regression") == []


def test_texts_are_for_a_model_that_compares_them():
    dual = ["encoder/image=vit", WORDS, "head=contrastive"]
    (fault,) = faults(*dual)
    assert fault.startswith("head.contrastive: finds the texts that are nearest to an input")
    assert faults(*dual, texts=["a dog"]) == faults(*dual, embeddings=True) == []
    several = ["encoder/image=vit", WORDS, "head=[classification,contrastive]"]
    assert faults(*several) == []
    (fault,) = faults("encoder/image=vit", "encoder/audio=ast", "head=contrastive", texts=["a dog"])
    assert fault == "texts: this model has no text encoder that reads words; leave it out"
