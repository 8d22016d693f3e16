from collections import Counter
from math import log

import numpy as np
import pytest
import torch

from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.scoring.families import measure
from mmtx_cli.scoring.neural.bertscore import chosen_layer
from tests.messages import mentions, raises
from tests.scoring.neural.models import captions, roberta, settings, unit

PREDICTIONS = ["A dog runs on grass.", "two men ride red bicycles", "a girl " * 40, "A dog"]
REFERENCES = [
    ["the dog is running", "a cat sleeps"],
    ["men on bikes", "bicycles", "two red men"],
    ["a girl holds a balloon"],
    ["The parliament adjourned on Tuesday.", "dogs"],
]
NAMES = ("bertscore_precision", "bertscore_recall", "bertscore_f1")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return roberta(tmp_path_factory.mktemp("hub") / "roberta")


def bertscore(weights, predictions=None, references=None, batch_size=3, **keys):
    own = captions(predictions or PREDICTIONS, references or REFERENCES)
    keys = {"weights": weights, "layer": 2} | keys
    return measure("bertscore", own, settings(bertscore=keys, batch_size=batch_size))


def found(measured):
    return np.stack([measured.scores.per_sample[name] for name in NAMES], axis=1)


def independent(weights, layer, idf, space=""):
    """P, R and F1 of every sample by the equations of the paper, from transformers' own model."""
    import transformers

    model = transformers.AutoModel.from_pretrained(weights).double().eval()
    words = transformers.AutoTokenizer.from_pretrained(weights)

    def tokens(text):
        return words(space + text.strip(), truncation=True, max_length=40)["input_ids"]

    def vectors(ids):
        with torch.no_grad():
            out = model(input_ids=torch.tensor([ids]), output_hidden_states=True)
        return unit(out.hidden_states[layer][0])

    every = [tokens(text) for own in REFERENCES for text in own]
    having = Counter(token for ids in every for token in set(ids))

    def weight(token):
        if idf:
            return log((len(every) + 1) / (having[token] + 1))
        return 0 if token in (words.cls_token_id, words.sep_token_id) else 1

    def one_side(ids, other):
        total = sum(map(weight, ids))
        best = [max(float(x @ y) for y in vectors(other)) for x in vectors(ids)]
        return sum(weight(t) * b for t, b in zip(ids, best, strict=True)) / total

    rows = []
    for predicted, own in zip(PREDICTIONS, REFERENCES, strict=True):
        each = []
        for text in own:
            p = one_side(tokens(predicted), tokens(text))
            r = one_side(tokens(text), tokens(predicted))
            each.append([p, r, 2 * p * r / (p + r)])
        rows.append(max(each, key=lambda row: row[2]))
    return np.array(rows)


@pytest.mark.parametrize("idf", [False, True])
@pytest.mark.parametrize("layer", [1, 3])
def test_equals_the_equations_of_the_paper(weights, layer, idf):
    measured = bertscore(weights, layer=layer, idf=idf)
    np.testing.assert_allclose(found(measured), independent(weights, layer, idf), atol=1e-5)
    means = measured.scores.metrics()
    assert [means[name] for name in NAMES] == pytest.approx(found(measured).mean(axis=0))
    expected = f"roberta_L{layer}_{'idf' if idf else 'no-idf'}_version=mmtx-"
    assert measured.parameters["hash"].startswith(expected)


def test_the_first_word_of_roberta_is_read_as_any_other_word(tmp_path):
    import json

    folder = roberta(tmp_path / "roberta")
    path = tmp_path / "roberta/tokenizer_config.json"
    own = json.loads(path.read_text()) | {"tokenizer_class": "RobertaTokenizer"}
    path.write_text(json.dumps(own))
    values = found(bertscore(folder))
    np.testing.assert_allclose(values, independent(folder, 2, False, " "), atol=1e-5)
    assert abs(values - independent(folder, 2, False)).max() > 1e-3


def test_captions_that_are_cut_are_counted(weights):
    measured = bertscore(weights)
    mentions(measured.notes[0], "bertscore: 1 ", " 40 tokens")
    assert measured.parameters["cut_captions"] == 1
    assert bertscore(weights, ["a"], [["b"]]).notes == ()


@pytest.mark.parametrize("size", [1, 2, 50])
def test_the_batches_do_not_matter(weights, monkeypatch, size):
    from mmtx_cli.scoring.neural import bertscore as module

    expected = found(bertscore(weights))
    monkeypatch.setattr(module, "_TEXTS", size)
    np.testing.assert_allclose(found(bertscore(weights, batch_size=size)), expected, atol=1e-6)


def test_an_empty_prediction_scores_0(weights):
    measured = bertscore(weights, ["", "a dog"], [["a dog", "a cat"], ["a dog"]])
    np.testing.assert_allclose(found(measured), [[0, 0, 0], [1, 1, 1]], atol=1e-5)
    mentions(measured.notes[0], "bertscore: 1 of 2 ")


def test_scores_are_rescaled_by_a_file_of_baselines(weights, tmp_path):
    path = tmp_path / "baseline.tsv"
    path.write_text("LAYER,P,R,F\n0,0.1,0.1,0.1\n1,0.2,0.2,0.2\n2,0.5,0.4,0.3\n")
    plain, rescaled = bertscore(weights), bertscore(weights, baseline=str(path))
    base = np.array([0.5, 0.4, 0.3])
    np.testing.assert_allclose(found(rescaled), (found(plain) - base) / (1 - base), atol=1e-9)
    assert rescaled.parameters["hash"] == plain.parameters["hash"] + "-custom-rescaled"
    notes = [
        bertscore(weights, ["", "a cat"], [["a"], ["b"]], baseline=baseline).notes[0]
        for baseline in (None, str(path))
    ]
    assert notes[0].endswith("score 0")
    assert notes[1].endswith("score 0 before rescaling")


@pytest.mark.parametrize(
    ("content", "place", "parts"),
    [
        ("LAYER,P,R,F\n1,0.1,0.1,0.1\n", ": ", ["layer 2"]),
        ("a,b\n", ":1: ", ["LAYER,P,R,F"]),
        ("LAYER,P,R,F\n1,x,0.1,0.1\n", ":2: ", ["numbers"]),
        ("LAYER,P,R,F\n2,0.1,1,0.1\n", ":2: ", ["below 1"]),
        ("LAYER,P,R,F\n2,0.1,0.1\n", ":2: ", ["four"]),
    ],
)
def test_what_is_wrong_with_a_file_of_baselines(weights, tmp_path, content, place, parts):
    path = tmp_path / "baseline.tsv"
    path.write_text(content)
    with raises(DataError, f"{path}{place}", *parts):
        bertscore(weights, baseline=str(path))


def test_a_file_of_baselines_that_is_not_there(weights):
    with raises(DataError, "bertscore.baseline=nothing.tsv: ", "No such file"):
        bertscore(weights, baseline="nothing.tsv")


def test_the_layer_must_exist_and_be_chosen_if_the_best_one_is_unknown(weights):
    with raises(ConfigError, "bertscore.layer=4: ", " 3 layers"):
        bertscore(weights, layer=4)
    with raises(ConfigError, "bertscore.layer: required", "1 to 3"):
        bertscore(weights, layer=None)


@pytest.mark.parametrize("name", ["FacebookAI/roberta-large", "roberta-large", "own/roberta-large"])
def test_models_of_organizations_have_the_layer_of_the_authors(name, monkeypatch):
    from transformers import RobertaConfig

    from mmtx_cli.hub import huggingface

    monkeypatch.setattr(
        huggingface, "model_config", lambda weights: RobertaConfig(num_hidden_layers=24)
    )
    assert chosen_layer(name, None) == 17
    assert chosen_layer("microsoft/deberta-large-mnli", None) == 18
