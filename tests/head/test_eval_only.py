"""Heads that are asked of a trained model: against loops in float64, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.errors import DataError
from mmtx_cli.head.embedding_probe import ProbeHead
from mmtx_cli.head.retrieval import RetrievalHead
from mmtx_cli.head.zero_shot import TEMPLATES, ZeroShotHead
from mmtx_cli.metric.knn import neighbor_classifier
from mmtx_cli.metric.linear_probe import linear_classifier, linear_regression
from tests.head.words import Words
from tests.messages import raises
from tests.tiny import tiny_batch, tiny_model

NAMES = ["ball", "cube", "cone"]
BOTH = {"text": [4, 0, 7, 2], "image": [1, 2, 0, 1]}


def rows_of(outputs):
    """One dict a sample."""
    return [{name: x[i] for name, x in outputs.items()} for i in range(len(outputs["image"]))]


def labeled(labels, split="test"):
    return [Sample(f"s{i}", split, label=label, line=i + 1) for i, label in enumerate(labels)]


@pytest.fixture(scope="module")
def model():
    return tiny_model("decision", ["contrastive"])


@pytest.fixture
def heads(model):
    return model.head


def zero_shot(heads, streams=("text", "image"), **options):
    return ZeroShotHead(16, streams, heads, NAMES, **options)


class TestZeroShot:
    def test_a_class_is_the_mean_of_its_unit_texts(self, heads):
        head = zero_shot(heads, templates=["a {}", "the {}.", "{}"], names={"cone": "hat"})
        prompts = head.examples([], labeled(NAMES))
        message = [prompt.text for prompt in prompts]
        assert message[:3] == ["a ball", "the ball.", "ball"]
        assert message[-3:] == ["a hat", "the hat.", "hat"]
        assert [prompt.captions for prompt in prompts] == [(text,) for text in message]
        random = np.random.default_rng(0)
        texts = random.normal(size=(9, 8)) * random.uniform(0.1, 5, size=(9, 1))
        head.fit([{"text": torch.tensor(text)} for text in texts], prompts)
        unit = texts / np.linalg.norm(texts, axis=1, keepdims=True)
        mean = unit.reshape(3, 3, 8).mean(axis=1)
        expected = mean / np.linalg.norm(mean, axis=1, keepdims=True)
        assert head.classes.numpy() == pytest.approx(expected, abs=1e-6)

        pictures = random.normal(size=(4, 8))
        pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
        outputs = [
            [{"image": torch.tensor(x), "image_present": torch.tensor(i < 3)}]
            for i, x in enumerate(pictures)
        ]
        samples = labeled(["ball", "cube", "cone", "cube"])
        evaluation = head.evaluate(outputs, samples, Words())
        logits = np.exp(heads["contrastive"].log_scale.item()) * pictures @ expected.T
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        p[3] = 1 / 3  # it lacks the picture
        for row, own, label in zip(evaluation.rows, p, [0, 1, 2, 1], strict=True):
            assert row["prediction"] == NAMES[own.argmax()]
            assert row["scores"]["probability_of_label"] == pytest.approx(own[label], abs=1e-5)
        right = (p.argmax(axis=1) == [0, 1, 2, 1]).mean()
        assert evaluation.scores.metrics()["accuracy"] == pytest.approx(right)

    def test_it_says_what_the_contrastive_head_says(self, model, heads):
        head = zero_shot(heads)
        batch = tiny_batch(model, BOTH)
        streams = model.fusion(model.encode(batch))
        message, whole = head.predict(streams, batch), heads["contrastive"].predict(streams, batch)
        assert set(message) == {"image", "text", "image_present"}
        assert all(torch.equal(message[key], whole[key]) for key in message)
        assert head(streams, batch).loss is None
        assert head.templates == list(TEMPLATES["image"])

    @pytest.mark.parametrize(
        ("options", "parts"),
        [
            ({"templates": ["a photo"]}, ["templates: ", "'a photo'", "{}"]),
            ({"templates": []}, ["templates ", "empty"]),
            ({"head": "other"}, ["head=other: ", "contrastive head", " from contrastive"]),
            ({"stream": "video"}, ["stream=video: ", "text", " image"]),
            ({"names": {"bal": "x"}}, ["names: ", "class 'bal'"]),
        ],
    )
    def test_what_cannot_be(self, heads, options, parts):
        with raises(ValueError, *parts):
            zero_shot(heads, **options)

    @pytest.mark.parametrize("label", [3, ("a", "b")])
    def test_a_label_that_is_not_one_name(self, heads, label):
        with raises(DataError, "sample s1 (line 2): ", "one name", repr(label)):
            zero_shot(heads).examples([], labeled(["ball", label]))

    def test_several_streams_and_several_heads(self, heads):
        streams = ("text", "image", "video", "audio")

        def contrastive(*reads):
            return type(heads["contrastive"])(16, streams, reads)

        three = nn.ModuleDict({"all": contrastive("text", "video", "audio")})
        with raises(ValueError, "stream: ", "audio, video"):
            zero_shot(three, streams)
        assert zero_shot(three, streams, stream="audio").templates == list(TEMPLATES["audio"])
        silent = nn.ModuleDict({"silent": contrastive("video", "audio")})
        with raises(ValueError, "contrastive head", "'audio'", "'video'", "text"):
            zero_shot(silent, streams)
        two = nn.ModuleDict({"one": contrastive("text", "image"), **silent})
        with raises(ValueError, "head: ", "contrastive heads", " one, silent"):
            zero_shot(two, streams)
        assert zero_shot(two, streams, head="one").stream == "image"
        with raises(ValueError, "contrastive head", "head=contrastive"):
            zero_shot(nn.ModuleDict())


class TestProbe:
    streams = ("image", "text")

    def probe(self, **options):
        return ProbeHead(8, self.streams, NAMES, **options)

    def outputs(self, count, seed):
        """A row in four lacks its text."""
        generator = torch.Generator().manual_seed(seed)
        x = {name: torch.randn(count, 8, generator=generator) for name in self.streams}
        x |= {"image_present": torch.ones(count, dtype=torch.bool)}
        x |= {"text_present": torch.arange(count) % 4 > 0}
        return x

    def learned(self, labels, **options):
        head, x = self.probe(**options), self.outputs(len(labels), 0)
        known = head.examples(labeled(labels, "train"), labeled(labels[:1]))
        head.fit(rows_of(x), known)
        return head, x

    def test_it_is_the_probes_of_each_stream(self):
        labels = [NAMES[i % 3] for i in range(24)]
        head, x = self.learned(labels, k=5, temperature=0.2)
        test, samples = self.outputs(10, 1), labeled([NAMES[i % 2] for i in range(10)])
        evaluation = head.evaluate([[row] for row in rows_of(test)], samples, Words())
        figures = evaluation.scores.metrics()
        y, truth = torch.arange(24) % 3, torch.arange(10) % 2
        for name in self.streams:
            there = x[f"{name}_present"]
            known, own = x[name][there], y[there]
            lacks = ~test[f"{name}_present"]
            asked = torch.where(lacks[:, None], known.mean(dim=0), test[name])
            linear = linear_classifier(known, own, 3, asked)
            votes = neighbor_classifier(known, own, 3, asked, 5, 0.2)
            for kind, found in (("linear", linear), ("knn", votes)):
                right = (found.argmax(dim=1) == truth).double().mean()
                assert figures[f"{name}/{kind}/accuracy"] == pytest.approx(float(right))
                predicted = [row["predictions"][f"{name}/{kind}"] for row in evaluation.rows]
                assert predicted == [NAMES[i] for i in found.argmax(dim=1)]
        assert set(figures) == {
            f"{name}/{kind}/{figure}"
            for name in self.streams
            for kind in ("linear", "knn")
            for figure in ("accuracy", "f1_macro")
        }

    def test_numbers(self):
        head, x = self.learned([float(i) for i in range(24)], kind="linear", streams=["image"])
        test = self.outputs(6, 1)
        samples = labeled([0.5 * i for i in range(6)])
        evaluation = head.evaluate([[row] for row in rows_of(test)], samples, Words())
        predicted = linear_regression(x["image"], torch.arange(24.0), test["image"])
        assert [row["prediction"] for row in evaluation.rows] == pytest.approx(predicted.tolist())
        error = (predicted - 0.5 * torch.arange(6)).abs().mean()
        assert evaluation.scores.metrics()["image/linear/mae"] == pytest.approx(float(error))

    def test_a_stream_that_no_training_sample_has_is_left_out(self):
        head, x = self.probe(kind="knn"), self.outputs(6, 0)
        x["text_present"][:] = False
        rows = head.examples(labeled(NAMES * 2, "train"), [])
        head.fit(rows_of(x), rows)
        assert set(head.training_inputs) == {"image"}
        x["image_present"][:] = False
        with raises(DataError, "training sample", "label", "image, text"):
            self.probe().fit(rows_of(x), rows)

    @pytest.mark.parametrize(
        ("train", "asked", "parts"),
        [
            ([None], ["ball"], ["split=train", "label"]),
            (["ball", 3], ["ball"], ["sample s1 (line 2): ", "one name", "label ", " 3"]),
            ([1.5], ["ball"], ["sample s0 (line 1): ", "a number", "label ", "'ball'"]),
            (
                ["ball", ("ball", "cube")],
                ["ball"],
                ["sample s1 (line 2): ", "one name", "('ball', 'cube')"],
            ),
            (["ball"], ["ball", "cone"], ["sample s1 (line 2): ", "training row", "'cone'"]),
        ],
    )
    def test_labels_that_it_cannot_learn(self, train, asked, parts):
        with raises(DataError, *parts):
            self.probe().examples(labeled(train, "train"), labeled(asked))

    @pytest.mark.parametrize("option", [{"kind": "svm"}, {"k": 0}, {"temperature": -1.5}])
    def test_what_cannot_be(self, option):
        ((key, value),) = option.items()
        with raises(ValueError, f"{key}={value!r}"):
            self.probe(**option)


class TestRetrieval:
    def asked(self, heads, **options):
        return RetrievalHead(16, ["text", "image"], heads, **options)

    def test_it_finds_what_the_contrastive_head_finds(self, model, heads):
        head = self.asked(heads, k=[3, 1])
        batch = tiny_batch(model, BOTH)
        streams = model.fusion(model.encode(batch))
        outputs = [[row] for row in rows_of(head.predict(streams, batch))]
        samples = [replace(s, label=None) for s in labeled("abcd")]
        figures = head.evaluate(outputs, samples, Words()).scores.metrics()
        whole = heads["contrastive"].evaluate(outputs, samples, Words()).scores.metrics()
        for way in ("image_to_text", "text_to_image"):
            assert figures[f"{way}_median_rank"] == whole[f"{way}_median_rank"]
            assert figures[f"{way}_r1"] == whole[f"{way}_r1"]
            assert f"{way}_r3" in figures
            assert f"{way}_r5" not in figures

    def test_any_pair_that_is_embedded(self, heads):
        three = type(heads["contrastive"])(
            16, ["text", "image", "audio"], pairs=[["text", "image"], ["text", "audio"]]
        )
        trained, streams = nn.ModuleDict({"contrastive": three}), ["text", "image", "audio"]
        assert RetrievalHead(16, streams, trained).searched_pairs == three.pairs
        head = RetrievalHead(16, streams, trained, pairs=[["image", "audio"]])
        assert head.searched_pairs == [("audio", "image")]

    @pytest.mark.parametrize(
        ("options", "parts"),
        [
            ({"pairs": [["image", "audio"]]}, ["pairs: ", "'audio'", " image, text"]),
            ({"pairs": [["image", "image"]]}, ["pairs: ", "'image', 'image'", " image, text"]),
            ({"pairs": []}, ["pairs ", "empty"]),
            ({"k": [0, 1]}, ["k=[0, 1]: ", "ranks", " 1 "]),
            ({"k": [1, 1]}, ["k=[1, 1]: ", "distinct ranks"]),
            ({"k": []}, ["k=[]: ", "ranks"]),
            ({"head": "other"}, ["head=other: ", "contrastive head", " from contrastive"]),
        ],
    )
    def test_what_cannot_be(self, heads, options, parts):
        with raises(ValueError, *parts):
            self.asked(heads, **options)
