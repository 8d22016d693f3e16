"""Heat maps from Python."""

import numpy as np
import pytest
from PIL import Image

import mmtx_cli
from mmtx_cli.errors import ConfigError, DataError
from tests.messages import raises
from tests.predicting import model_folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    place = tmp_path_factory.mktemp("explained")
    return mmtx_cli.load(model_folder(place / "m", ["captioning"], ["image"]), batch_size=2)


@pytest.fixture(scope="module")
def pictures():
    random = np.random.default_rng(0)
    return [random.integers(0, 255, (64, 64, 3), dtype=np.uint8) for _ in range(3)]


@pytest.mark.parametrize("method", ["gradient", "rollout"])
def test_captions_with_a_map_of_each_word(model, pictures, method):
    expected = model.caption(pictures, token_scores=True, num_beams=2)
    found = model.explain(pictures, method=method, num_beams=2)
    for row, caption in zip(found, expected, strict=True):
        maps = row.pop("maps")["image"]
        assert row == caption
        assert maps.shape == (len(row["words"]), 32, 32)
        np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, rtol=1e-4)


def test_captions_afterwards_are_the_same(model, pictures):
    before = model.caption(pictures)
    model.explain(pictures)
    assert model.caption(pictures) == before
    assert not any(p.grad is not None for p in model.network.parameters())


def test_unreadable_inputs(model, pictures, tmp_path):
    (tmp_path / "a.png").write_text("no picture")
    with raises(DataError, "a.png", "known format"):
        model.explain([pictures[0], tmp_path / "a.png"])
    good, bad = model.explain([pictures[0], tmp_path / "a.png"], errors="return")
    assert "maps" in good
    assert bad.keys() == {"path", "error"}


def test_what_cannot_be_explained(model, tmp_path):
    with raises(ConfigError, "saliency", "gradient", "rollout"):
        model.explain(Image.new("RGB", (8, 8)), method="saliency")
    dual = mmtx_cli.load(model_folder(tmp_path / "dual", ["contrastive"]))
    with raises(ConfigError, "cannot caption", "contrastive"):
        dual.explain(Image.new("RGB", (8, 8)))
