import numpy as np
import pytest

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.metric.classification import classification_scores, multilabel_scores
from mmtx_cli.metric.direction import (
    METRICS,
    has_direction,
    headline,
    headlines,
    lower_is_better,
    metric_of,
)
from mmtx_cli.metric.retrieval.recall import recall_scores
from tests.tiny import HEADS, LABELS, tiny_batch, tiny_model

LESS = ("mae", "rmse", "mse", "ece", "perplexity", "error", "nll", "rank", "median_rank")
WHOLE = {"text": [6, 6, 7, 6], "image": [1, 1, 1, 1]}


class Words:
    """A tokenizer of no language."""

    def decode(self, ids):
        return " ".join(f"w{i}" for i in ids)


@pytest.fixture(scope="module")
def model_outputs():
    """What every head of two modalities says of four samples."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    model = tiny_model("concat", HEADS).eval()
    return model, model.predict(tiny_batch(model, WHOLE))


@pytest.mark.parametrize("name", HEADS)
def test_it_is_known_of_every_metric_of_every_head(model_outputs, name):
    model, outputs = model_outputs
    head = model.head[name]
    own = [[{key: x[i] for key, x in outputs[name].items()}] for i in range(4)]
    label = 1.5 if "number" in head.targets else LABELS[0]
    samples = [
        Sample(str(i), "test", captions=("a b", "c"), label=label, answers={LABELS[0]: 2.0})
        for i in range(4)
    ]
    evaluation = head.evaluate(own, samples, Words())
    names = {*evaluation.scores.metrics(), *evaluation.scores.per_sample}
    for metric in names | set(head.metrics):
        assert has_direction(metric), metric
        assert has_direction(f"{name}/{metric}"), metric
        assert lower_is_better(metric) == metric.endswith(LESS), metric


def test_it_is_known_where_there_are_many_classes():
    scores = np.eye(6)
    found = [classification_scores(scores, np.arange(6)), multilabel_scores(scores, scores > 0)]
    ranks = {"image_to_text": (np.array([0, 1]), np.array([0, 1]))}
    found.append(recall_scores(ranks, 2, (1, 5)))
    for part in found:
        for metric in (*part.metrics(), *part.per_sample):
            assert has_direction(metric), metric
            assert lower_is_better(metric) == metric.endswith("rank"), metric


@pytest.mark.parametrize(
    ("metric", "lower"),
    [
        ("masked_image/mse", True),
        ("masked_lm/perplexity", True),
        ("contrastive/image_to_text_median_rank", True),
        ("probe/image/linear/mae", True),
        ("probe/image/linear/accuracy", False),
        ("retrieval/text_to_image_r100", False),
        ("regression/r2", False),
        ("mine/loss", True),
    ],
)
def test_names_with_others_before_them(metric, lower):
    assert has_direction(metric)
    assert lower_is_better(metric) is lower


def test_the_direction_of_a_user_defined_metric_is_unknown():
    assert not has_direction("mine/terror")
    assert not has_direction("mine/score")
    assert metric_of("mine/score") is None


def test_each_metric_is_declared_once():
    names = [metric.name for metric in METRICS]
    assert len(names) == len(set(names))


def test_the_headline_of_a_head():
    assert headline(["mae", "kappa", "accuracy"]) == "accuracy"  # of ordered classes
    assert headline(["f1_macro", "exact_match", "f1_micro"]) == "f1_micro"
    assert headline(["bleu_1", "bleu_4", "rouge_l", "cider"]) == "cider"
    assert headline(["bleu_1", "bleu_4", "rouge_l"]) == "bleu_4"
    assert headline(["image_to_text_r1", "mean_recall"]) == "mean_recall"
    assert headline(["mine"]) is None


def test_the_headlines_of_several_heads():
    metrics = ["a/r2", "a/mae", "b/mine", "probe/image/knn/accuracy", "loss", "cider"]
    assert headlines(metrics) == {
        "a": "a/mae",
        "probe/image/knn": "probe/image/knn/accuracy",
        "": "cider",
    }
