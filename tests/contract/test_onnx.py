"""Every model that captions files can be a folder of ONNX graphs that writes the same texts."""

from contextlib import contextmanager
from dataclasses import asdict

import jaxtyping
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.counter_rng.bits import id_keys
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.errors import ConfigError, RunError
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.numpy.make import make_method
from mmtx_cli.generation.numpy.search import search
from mmtx_cli.inference.onnx import write
from mmtx_cli.inference.onnx.sessions import Graphs
from mmtx_cli.inference.onnx.write import example_inputs, write_onnx
from mmtx_cli.io.onnx_folder import read_onnx_config
from mmtx_cli.types import Batch, ModalityInput
from tests.decoders import language_model
from tests.messages import raises
from tests.tiny import (
    ENCODERS,
    FRAMES,
    FUSIONS,
    LENGTH,
    REPRESENTATIVE,
    SAMPLE_RATE,
    SECONDS,
    SIDE,
    raw_of,
    tiny_config,
    tiny_model,
)

PREPARATION = Preprocessing(
    image_size=SIDE,
    max_length=LENGTH,
    num_frames=FRAMES,
    sample_rate=SAMPLE_RATE,
    audio_seconds=SECONDS,
)
TOKENIZER = Tokenizer.train(["a picture"], size=300).to_json()
CLOSE = 1e-4
"""Largest difference of the scores of two texts between which rounding errors may decide."""
FILES = [(modality, name) for modality, name in ENCODERS if raw_of(modality, name) != "features"]


@contextmanager
def unchecked():
    """Without run-time checks of types: while a model is traced, lengths are no integers."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


def exported(folder, fusion, modalities, args=()):
    """A tiny model and its graphs."""
    model = tiny_model(fusion, ["captioning"], modalities, args)
    config = {
        "model": tiny_config(fusion, ["captioning"], modalities, args),
        "preparation": asdict(PREPARATION),
        "data": {},
        "tokenizer": TOKENIZER,
    }
    with unchecked():
        difference, largest = write_onnx(folder, model, config, "ckpt=tiny")
    assert 0 < difference < 1e-4 * largest
    return model, config, Graphs(folder, read_onnx_config(folder))


def inputs_of(model, config, batch, seed):
    """Random inputs, of which some lack a modality."""
    inputs = example_inputs(model, config, batch, seed)
    random = torch.Generator().manual_seed(seed)
    return tuple(
        x & (torch.rand(batch, 1, generator=random) < 0.8) if x.dtype == torch.bool else x
        for x in inputs
    )


def check_same_texts(model, config, graphs, chosen, batch, seed):
    """The texts of both are equal, but for those between which rounding errors decide."""
    inputs = inputs_of(model, config, batch, seed)
    names = graphs.facts.modalities
    fields = {n: ModalityInput(inputs[2 * i], inputs[2 * i + 1]) for i, n in enumerate(names)}
    ids = [f"{seed} {i}" for i in range(batch)]
    model.head["captioning"].generation = chosen
    wanted = model.predict(Batch(fields, ids=ids))["captioning"]
    facts = graphs.facts
    method = make_method(chosen, Limits(facts.bos_id, facts.eos_id, facts.max_length))
    arrays = {n: x.numpy() for n, x in zip(facts.encoder_inputs, inputs, strict=True)}
    found = search(graphs.start(arrays), method, id_keys(ids))
    np.testing.assert_allclose(found.scores, wanted["score"].numpy(), rtol=CLOSE, atol=CLOSE)
    same = (found.tokens == wanted["tokens"].numpy()).all(axis=2)
    for i, j in zip(*(~same).nonzero(), strict=True):
        others = np.delete(wanted["score"].numpy()[i], j)
        assert np.abs(others - found.scores[i, j]).min() < CLOSE
    return int(same.sum()), same.size


METHODS = [
    GenerationSettings(num_beams=1),
    GenerationSettings(num_return_sequences=2, no_repeat_ngram_size=2, repetition_penalty=1.2),
    GenerationSettings(do_sample=True, top_k=9, num_return_sequences=2),
]


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion(fusion, tmp_path):
    """A hundred and five random inputs."""
    model, config, graphs = exported(tmp_path / "onnx", fusion, ("text", "image"))
    counts = [
        check_same_texts(model, config, graphs, method, 35, seed)
        for seed, method in enumerate(METHODS)
    ]
    assert sum(same for same, _ in counts) >= 0.99 * sum(size for _, size in counts)


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(("modality", "name"), FILES)
def test_every_encoder(modality, name, tmp_path):
    modalities = ("image", modality) if modality == "text" else (modality,)
    args = (f"encoder/{modality}={name}",)
    model, config, graphs = exported(tmp_path / "onnx", "concat", modalities, args)
    for seed, method in enumerate(METHODS):
        check_same_texts(model, config, graphs, method, 3, seed)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model of all modalities."""
    return exported(tmp_path_factory.mktemp("onnx") / "whole", "concat", tuple(REPRESENTATIVE))


@pytest.mark.slow
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    batch=st.integers(1, 9),
    beams=st.integers(1, 5),
    longest=st.integers(1, LENGTH - 1),
    seed=st.integers(0, 2**20),
)
def test_any_number_of_inputs_and_beams(whole, batch, beams, longest, seed):
    chosen = GenerationSettings(num_beams=beams, max_new_tokens=longest)
    check_same_texts(*whole, chosen, batch, seed)


@pytest.mark.slow
def test_an_encoder_that_the_head_does_not_read(tmp_path):
    """A pre-trained model whose captions are of the picture alone; the text may be anything."""
    args = ("head.captioning.streams=[image]",)
    parts = ("concat", ["contrastive", "captioning"], ("text", "image"), args)
    model = tiny_model(*parts)
    config = {
        "model": tiny_config(*parts),
        "preparation": asdict(PREPARATION),
        "data": {},
        "tokenizer": TOKENIZER,
    }
    with unchecked():
        write_onnx(tmp_path / "onnx", model, config, "ckpt=tiny")
    graphs = Graphs(tmp_path / "onnx", read_onnx_config(tmp_path / "onnx"))
    for seed, method in enumerate(METHODS):
        check_same_texts(model, config, graphs, method, 5, seed)


@pytest.mark.parametrize(
    ("heads", "args", "words"),
    [
        (["classification"], (), ["heads classification", "without format"]),
        (
            ["captioning"],
            ("decoder=huggingface", "connector=prefix", *language_model("gpt2")),
            ["decoder=transformer", "HuggingFaceDecoder", "without format"],
        ),
        (["captioning"], ("encoder/image=precomputed",), ["precomputed features (image)"]),
    ],
    ids=["classifier", "language model", "features"],
)
def test_models_that_are_not_exported(heads, args, words, tmp_path):
    model = tiny_model("concat", heads, ("image",), args)
    config = {"preparation": asdict(PREPARATION)}
    with raises(ConfigError, "ckpt=tiny", "format=onnx" if "format=onnx" in words else "", *words):
        write_onnx(tmp_path / "onnx", model, config, "ckpt=tiny")
    assert not (tmp_path / "onnx").exists()


def test_a_graph_that_differs_is_not_written(tmp_path, monkeypatch):
    """As if the exporter had a fault: a weight changes between tracing and comparing."""
    original = write.check_same

    def changed(folder, encoder, inputs, source):
        encoder.head.decoder.norm.bias.data += 0.01
        return original(folder, encoder, inputs, source)

    monkeypatch.setattr(write, "check_same", changed)
    with raises(RunError, "ckpt=tiny", "differ", "nothing was written"):
        exported(tmp_path / "onnx", "concat", ("image",))
    assert not (tmp_path / "onnx").exists()
