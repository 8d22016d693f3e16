import json

import pytest

from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.corpus import build_data
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.data.text.tokenizer_choice import pretrained_tokenizer
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.model.build import component
from tests.messages import faults_mention, raises

CLASSIFIER = {"_target_": "mmtx_cli.head.classification.ClassificationHead"}
CONTRASTIVE = {"_target_": "mmtx_cli.head.contrastive.ContrastiveHead"}


def trained(head, names=("red", "green"), multi_label=False):
    return {
        "model": {"head": {"own": head}},
        "label_names": list(names),
        "multi_label": multi_label,
    }


@pytest.fixture
def corpus(tmp_path):
    """A corpus of rows given as (split, label); with a trained model's config, of its labels."""

    def made(*rows, stored=None, **settings):
        lines = [
            json.dumps({"id": str(i), "split": split, "text": "x", "label": label})
            for i, (split, label) in enumerate(rows)
        ]
        path = tmp_path / "m.jsonl"
        path.write_text("\n".join(lines) + "\n")
        return build_data(DataSettings(path=str(path), **settings), Preprocessing(), stored=stored)

    return made


def faults(corpus, split, needs=("label",)):
    with pytest.raises(DataError) as caught:
        corpus.samples(corpus.rows(split), ["text"], needs)
    path = corpus.manifest.path
    return [fault.removeprefix(f"{path}:") for fault in caught.value.faults]


def test_labels_that_no_training_row_has_are_refused(corpus):
    made = corpus(("train", "red"), ("train", "green"), ("val", "green"), ("val", "purple"))
    faults_mention(faults(made, "val"), ("4: ", "label 'purple'", "green, red", "label_names"))
    assert len(made.samples(made.rows("train"), ["text"], ["label"])) == 2


def test_only_of_rows_that_are_used(corpus):
    made = corpus(
        ("train", "red"), ("val", "red"), ("val", "blue"), ("test", "purple"), limit_samples=1
    )
    for split in ("train", "val"):
        assert len(made.samples(made.rows(split), ["text"], ["label"])) == 1
    assert len(made.samples(made.rows("test"), ["text"], ())) == 1


def test_one_of_several_labels_that_no_training_row_has(corpus):
    made = corpus(("train", ["red", "green"]), ("val", ["gren", "red"]), ("val", []), ("val", None))
    faults_mention(faults(made, "val"), ("2: ", "label 'gren'", "'green'"))


def test_many_are_cut_short(corpus):
    made = corpus(("train", "red"), *[("val", "purple")] * 30)
    messages = faults(made, "val")
    assert len(messages) == 21
    faults_mention(messages[-1:], ("… ", "10"))


def test_numbers_are_no_classes(corpus):
    faults_mention(faults(corpus(("train", 3)), "train"), ("1: ", "label 3", "number", "quotes"))


def test_a_trained_model_rejects_unknown_labels(corpus):
    rows = [("train", "z"), ("val", "z"), ("test", "red"), ("test", "gren"), ("test", "x")]
    made = corpus(*rows, stored=trained(CLASSIFIER))
    with pytest.raises(DataError) as caught:
        made.rows("test")
    path = made.manifest.path
    faults_mention(
        caught.value.faults,
        (f"{path}:4: ", "label 'gren'", "'green'"),
        (f"{path}:5: ", "label 'x'", "red, green"),
    )
    assert made.label_names == ["red", "green"]
    made = corpus(*rows[:3], stored=trained(CLASSIFIER))  # other splits are not asked about
    assert len(made.rows("test")) == 1


def test_a_single_label_model_rejects_several_labels(corpus):
    made = corpus(("test", ["red", "green"]), stored=trained(CLASSIFIER))
    with raises(DataError, "m.jsonl:1: ", "several labels", "model"):
        made.rows("test")
    made = corpus(("test", ["red", "green"]), stored=trained(CLASSIFIER, multi_label=True))
    assert len(made.samples(made.rows("test"), ["text"], ["label"])) == 1


def test_labels_that_a_model_never_answered_with_do_not_bind(corpus):
    rows = ("train", ["up", "down"]), ("val", ["up"])
    made = corpus(*rows, stored=trained(CONTRASTIVE))
    assert (made.label_names, made.multi_label) == (["down", "up"], True)
    example = made.samples(made.rows("val"), ["text"], ["label"])[0, 0]
    assert example.targets["label"].tolist() == [0, 1]


def test_a_foreign_head_may_answer_with_labels(corpus):
    made = corpus(("test", "x"), stored=trained({"_target_": "nowhere.Head"}))
    with raises(DataError, "m.jsonl:1: ", "model", "label 'x'"):
        made.rows("test")


def test_a_user_defined_tokenizer_is_stored_with_its_encoder():
    stored = Tokenizer.train(["a red ball"], 300).to_json()
    pretrained = {
        "_target_": "mmtx_cli.encoder.text.huggingface.HuggingFaceTextEncoder",
        "weights": None,
    }
    scratch = {"_target_": "mmtx_cli.encoder.text.transformer.TransformerTextEncoder"}
    assert pretrained_tokenizer(pretrained, stored) is not None
    assert pretrained_tokenizer(pretrained, None) is None
    assert pretrained_tokenizer(scratch, stored) is not None, "a model was taught to read by it"
    assert pretrained_tokenizer({}, stored) is None


@pytest.mark.parametrize(
    ("key", "value"), [("patch_size", 0), ("depth", None), ("num_heads", 0), ("width", -4)]
)
def test_invalid_arguments_are_reported_with_their_location(key, value):
    target = "mmtx_cli.encoder.image.vit.ViTImageEncoder"
    with pytest.raises(ConfigError, match=r"^encoder.image: "):
        component("encoder.image", {"_target_": target, "image_size": 32, key: value})
