"""A trained model from Python gives what the commands give."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import mmtx_cli
from mmtx_cli.api.scores import log_probabilities
from mmtx_cli.data.loader import collate_of
from mmtx_cli.data.pieces import Piece
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.quoting import quoted
from mmtx_cli.synthetic.events import make_events
from mmtx_cli.types import IGNORE_INDEX
from tests.messages import raises
from tests.predicting import command, lines, model_folder

EXACT = 1e-4
"""Of sums of log-probabilities, which depend on the batch in their last digits."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, one of which is broken, and a film with sound."""
    place = tmp_path_factory.mktemp("inputs")
    random = np.random.default_rng(0)
    for i in range(6):
        pixels = random.integers(0, 255, (70 + i, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place / f"{i}.png")
    Image.open(place / "1.png").save(place / "1.jpg")
    (place / "broken.png").write_text("no picture")
    events = make_events(place / "events", num=10, size=32, seed=0, workers=1)
    shutil.copy(next(events.parent.glob("videos/*.mp4")), place / "film.mp4")
    return place


@pytest.fixture(scope="module")
def files(folder):
    return [str(folder / name) for name in ("0.png", "film.mp4", "1.jpg", "2.png", "3.png")]


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    heads, modalities = ["captioning"], ["image", "video", "audio"]
    return model_folder(tmp_path_factory.mktemp("captioner") / "m", heads, modalities)


@pytest.fixture(scope="module")
def dual(tmp_path_factory):
    return model_folder(tmp_path_factory.mktemp("dual") / "m", ["contrastive"])


@pytest.fixture(scope="module")
def model(untrained):
    return mmtx_cli.load(untrained, device="cpu", batch_size=2)


@pytest.fixture(scope="module")
def dual_model(dual):
    return mmtx_cli.load(dual, device="cpu", batch_size=4)


def captioned(run_dir: Path, ckpt: Path, inputs, *args: str):
    """The lines of ``mmtx caption``."""
    listed = ",".join(map(quoted, inputs))
    overrides = [f"ckpt={quoted(str(ckpt))}", f"inputs=[{listed}]", "data.eval_batch_size=2", *args]
    return lines(command("caption", run_dir, *overrides) / "captions.jsonl")


def alike(found, expected):
    """Check that rows are equal except for the rounding of numbers: batches differ."""
    assert type(found) is type(expected)
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        alike(list(found.values()), list(expected.values()))
    elif isinstance(found, list):
        for one, other in zip(found, expected, strict=True):
            alike(one, other)
    else:
        assert found == (pytest.approx(expected, abs=EXACT) if type(found) is float else expected)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"num_beams": 4, "num_return_sequences": 2, "token_scores": True},
        {"do_sample": True, "top_p": 0.9, "num_return_sequences": 2},
    ],
    ids=lambda settings: "+".join(settings),
)
def test_captions_are_those_of_the_command(model, untrained, files, tmp_path, settings):
    args = [f"generation.{key}={str(value).lower()}" for key, value in settings.items()]
    expected = captioned(tmp_path / "run", untrained, files, *args, "seed=3")
    alike(model.caption(files, seed=3, **settings), expected)
    assert [row["path"] for row in expected] == files


def test_constraints_hold(model, files):
    found = model.caption(files, include=["red"], exclude=["a"])
    for row in found:
        assert re.search(r"\bred\b", row["caption"])
        assert not re.search(r"\ba\b", row["caption"], re.IGNORECASE)
        assert "unmet" not in row
    assert not any(re.search(r"\bred\b", row["caption"]) for row in model.caption(files))
    with pytest.raises(ConfigError, match="no text satisfies it together"):
        model.caption(files, choices=["yes"], include=["no"])


def test_segments_are_those_of_the_command(model, untrained, files, tmp_path):
    expected = captioned(tmp_path / "run", untrained, files, "segment_seconds=0.5")
    found = model.caption(files, segment_seconds=0.5)
    alike(found, expected)
    assert len(found) > len(files)


def test_workers_and_batches_do_not_change_captions(untrained, model, files):
    other = mmtx_cli.load(untrained, device="cpu", batch_size=5, num_workers=1)
    for row, same in zip(other.caption(files), model.caption(files), strict=True):
        assert row["caption"] == same["caption"]
        assert row["score"] == pytest.approx(same["score"], abs=EXACT)


def test_a_question_is_repeated(tmp_path, folder):
    path = model_folder(tmp_path / "m", ["captioning"], ["text", "image"])
    model, question = mmtx_cli.load(path), "what color is it?"
    picture = str(folder / "0.png")
    expected = captioned(tmp_path / "run", path, [picture], f"text={quoted(question)}")
    assert model.caption(picture, text=question) == expected
    assert expected[0]["text"] == question


def test_pictures_in_memory_are_those_of_a_file(model, folder):
    path = folder / "2.png"
    (expected,) = model.caption(path)
    picture = Image.open(path)
    rgba = np.dstack([np.asarray(picture), np.full((picture.height, picture.width), 255, np.uint8)])
    for found in model.caption([picture, np.asarray(picture), rgba]):
        assert found.keys() | {"path"} == expected.keys()
        assert found["caption"] == expected["caption"]
        assert found["score"] == pytest.approx(expected["score"], abs=1e-5)
    gray = model.caption(picture.convert("L"))
    assert gray == model.caption(np.asarray(picture.convert("L")))


def test_inputs_that_cannot_be_read(model, folder):
    broken, missing = folder / "broken.png", folder / "missing.mp4"
    with raises(DataError, str(broken), "known format", str(missing)):
        model.caption([folder / "0.png", broken, missing])
    rows = model.caption([broken, folder / "0.png"], errors="return")
    assert [{*row} for row in rows] == [{"path", "error"}, {"path", "caption", "score"}]
    scores = model.score([broken, folder / "0.png"], ["a red ball"], errors="return")
    assert np.isnan(scores[:, 0]).tolist() == [True, False]
    for method in (model.embed, model.predict):
        with raises(DataError, str(broken), "known format"):
            method([broken])
    assert np.isnan(model.embed(broken, errors="return")["fused"]).all()
    assert model.predict(broken, errors="return")[0].keys() == {"path", "error"}


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ([], ["inputs", "at least one"]),
        (np.zeros((4, 4)), ["inputs[0]", "float64"]),
        (np.zeros((2, 4, 4, 3), np.uint8), ["[2, 4, 4, 3]", "video"]),
        (np.zeros((0, 4), np.uint8), ["4 x 0 pixels"]),
    ],
)
def test_other_inputs_are_refused(model, value, parts):
    with raises(DataError, *parts):
        model.caption(value)


def test_large_pictures_are_refused(untrained):
    small = mmtx_cli.load(untrained, settings={"data": {"max_image_pixels": 99}})
    with raises(DataError, "10 x 10 pixels", "data.max_image_pixels"):
        small.caption(Image.new("RGB", (10, 10)))


@pytest.mark.parametrize(
    ("settings", "parts"),
    [
        ({"num_beam": 3}, ["generation.num_beam", "'num_beams'"]),
        ({"num_beams": "3"}, ["generation.num_beams", "'3'"]),
        ({"include": ["${oc.env:HOME}"]}, ["generation.include", "without ${"]),
        ({"include": [3]}, ["generation.include", "[3]"]),
        ({"num_beams": 0}, ["generation.num_beams", "at least 1"]),
        ({"num_beams": 10**400}, ["generation.num_beams"]),
        ({"temperature": float("nan")}, ["generation.temperature"]),
        ({"top_p": 0.5}, ["generation.top_p", "do_sample"]),
        ({"max_new_tokens": 100}, ["generation.max_new_tokens", "max_length"]),
        ({"text": "why"}, ["text"]),
        ({"segment_seconds": 0}, ["segment_seconds", "0.1"]),
        ({"seed": -3}, ["seed", "at least 0"]),
    ],
)
def test_wrong_settings_are_reported(model, files, settings, parts):
    with raises(ConfigError, *parts):
        model.caption(files, **settings)


def test_scores_are_those_of_generation(model, files):
    """Of the very tokens that were generated, for all pairs of inputs and texts."""
    head = replace_settings(model.network.head["captioning"], num_beams=1)
    samples = model._samples([Piece(path) for path in files], None)
    batch = collate_of(samples)([samples[0, i] for i in range(len(files))])
    with torch.no_grad():
        found = head.predict(model.network.fusion(model.network.encode(batch)), batch)
    counts = (found["log_prob"][:, 0] != 0).sum(dim=1)
    texts = torch.nn.functional.pad(found["tokens"][:, 0], (1, 0), value=head.bos_id)
    beyond = torch.arange(texts.shape[1]) > counts[:, None]
    texts = texts.masked_fill(beyond, IGNORE_INDEX)[:, : counts.max() + 1]
    scores, unread = log_probabilities(model.network, head, samples, texts, 2, 0, "32-true")
    assert not unread
    np.testing.assert_allclose(scores.diagonal(), found["score"][:, 0], atol=EXACT)


def replace_settings(head, **settings):
    """The head with other settings of the generation."""
    other = copy(head)
    other.generation = replace(head.generation, **settings)
    return other


def test_scores_are_sums_of_log_probabilities(model, folder):
    """Word by word, with the loss that the model is trained with."""
    path, texts = folder / "3.png", ["a red", "blue", "x"]
    (scores,) = model.score(path, texts)
    head = model.network.head["captioning"]
    samples = model._samples([Piece(str(path))], None)
    batch = collate_of(samples)([samples[0, 0]])
    for text, score in zip(texts, scores, strict=True):
        (tokens,) = model.reader.tokenizer.encode([text], 10)
        batch.targets["captions"] = torch.tensor([tokens])
        with torch.no_grad():
            loss = head(model.network.fusion(model.network.encode(batch)), batch).loss
        assert score == pytest.approx(-float(loss), abs=EXACT)


def test_texts_that_cannot_be_scored(model, dual_model, files):
    with raises(DataError, "texts[1]", "tokens", "10"):
        model.score(files, ["a ball", "a red ball and " * 20])
    for texts in ([], "a text", ["a", " "]):
        with raises(ConfigError, "texts"):
            model.score(files, texts)
    with raises(ConfigError, "head='vqa'", "captioning"):
        model.score(files, ["a"], head="vqa")
    with raises(ConfigError, "stream='audio'", "image"):
        dual_model.score(files[:1], ["a"], stream="audio")


def test_scores_of_a_dual_encoder_are_cosines(dual_model, files):
    texts = ["a red ball", "a blue star"]
    scores = dual_model.score(files, texts)
    pictures = dual_model.embed(files)["contrastive.image"]
    words = dual_model.embed(texts=texts)["contrastive.text"]
    np.testing.assert_allclose(scores, pictures @ words.T, atol=1e-5)
    best = dual_model.predict(files, texts=texts, top=1)
    for row, order in zip(best, scores.argmax(axis=1), strict=True):
        assert row["contrastive"]["nearest"]["image"][0][0] == texts[order]


def test_a_model_without_text_encoder_has_no_embeddings_of_texts(model):
    with raises(ConfigError, "texts", "text encoder"):
        model.embed(texts=["a ball"])


def test_several_threads_get_what_one_gets(model, files):
    settings = [{"num_beams": n, "token_scores": n == 2} for n in (1, 2, 3)]
    expected = [model.caption(files, **each) for each in settings]
    vectors = model.embed(files)["fused"]

    def work(i):
        each = i % len(settings)
        rows = model.caption(files, **settings[each])
        same = np.array_equal(model.embed(files)["fused"], vectors, equal_nan=True)
        return rows == expected[each] and same

    with ThreadPoolExecutor(6) as pool:
        assert [*pool.map(work, range(6))] == [True] * 6
    assert [*model.network.head] == ["captioning"]  # nothing is left behind
