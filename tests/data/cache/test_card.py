import json
from dataclasses import fields, replace

import pytest
import torch

from mmtx_cli.config.preprocessing import MODALITIES, Preprocessing
from mmtx_cli.data.cache.card import (
    CARD,
    NAFLEX_KEYS,
    PREPARATION_KEYS,
    Card,
    cards,
    preprocessing_of,
    weights_hash,
)
from mmtx_cli.errors import DataError
from tests.messages import faults_mention, raises

THEN = Card(
    "encoder.image",
    "image",
    "aa",
    {"image_size": 224, "width": 16, "body": {"depth": 2}},
    {"image_size": 224, "resize_mode": "crop"},
    None,
    1,
    16,
    "float32",
)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({}, []),
        ({"dtype": "bfloat16"}, []),
        ({"weights": "bb"}, [("", "weights of encoder.image")]),
        ({"weights": "bb", "seed": 2}, [("", "weights of encoder.image", "seed 1 ", " 2 ")]),
        ({"seed": 2}, []),  # of a pretrained encoder nothing begins at random
        ({"tokenizer": "cc"}, [("", "tokenizer")]),
        (
            {"preparation": {"image_size": 224, "resize_mode": "squash"}},
            [("data.resize_mode ", "crop ", ", squash ")],
        ),
        (
            {
                "preparation": {"image_size": 96, "resize_mode": "crop"},
                "config": THEN.config | {"image_size": 96},
                "weights": "bb",
            },
            [("image_size ", "224 ", ", 96 ")],
        ),
        (
            {"config": THEN.config | {"body": {"depth": 3}}, "weights": "bb"},
            [("encoder.image.body.depth ", "2 ", ", 3 ")],
        ),
        (
            {"preparation": {"image_size": 224, "resize_mode": "squash"}, "weights": "bb"},
            [("data.resize_mode ", "crop ", ", squash "), ("", "weights of encoder.image")],
        ),
    ],
)
def test_every_difference_is_named(change, parts):
    found = THEN.differences(replace(THEN, **change))
    faults_mention(found, *parts)
    assert all(("seed" in line) == ("seed" in change) for line in found)


def test_read_back(tmp_path):
    (tmp_path / THEN.part).mkdir()
    THEN.write(tmp_path / THEN.part)
    assert cards(tmp_path) == {"encoder.image": THEN}


def test_no_card(tmp_path):
    (tmp_path / "x").mkdir()
    path = tmp_path / "x" / CARD
    path.write_text("{")
    with raises(DataError, f"{path}: ", "card"):
        cards(tmp_path)
    path.write_text(json.dumps({"format": 99}))
    with raises(DataError, f"{path}: ", "version", "format 99", "cache"):
        cards(tmp_path)


def test_the_preparation_of_each_modality():
    preparation = Preprocessing(features={"audio": 5})
    given = [set(preprocessing_of(Preprocessing(), modality)) for modality in MODALITIES]
    assert given == [set(PREPARATION_KEYS[modality]) for modality in MODALITIES]
    assert preprocessing_of(preparation, "audio") == {"max_feature_length": 512}
    flexible = Preprocessing(resize_mode="naflex", patch_size=8)
    wanted = {"resize_mode": "naflex", "max_patches": 256, "patch_size": 8}
    assert preprocessing_of(flexible, "image") == wanted
    assert "max_patches" not in preprocessing_of(flexible, "video")


def test_nothing_of_the_preparation_is_forgotten():
    # a text's column does not change what its encoder makes of it, nor do the widths of features,
    # and no encoder reads the prompt of a language model
    known = {
        "text",
        "prompt",
        "features",
        "max_feature_length",
        *NAFLEX_KEYS,
        *(k for own in PREPARATION_KEYS.values() for k in own),
    }
    assert known == {field.name for field in fields(Preprocessing)}


@pytest.mark.parametrize(
    "other",
    [
        {"a": torch.ones(2, 3), "b": torch.zeros(())},
        {"a": torch.ones(3, 2), "b": torch.ones(())},
        {"a": torch.ones(2, 3).bfloat16(), "b": torch.ones(())},
        {"c": torch.ones(2, 3), "b": torch.ones(())},
        {"a": torch.ones(2, 3)},
    ],
)
def test_different_weights_are_distinguished(other):
    here = {"a": torch.ones(2, 3), "b": torch.ones(())}
    assert weights_hash(here) == weights_hash(dict(reversed(here.items())))
    assert weights_hash(here) == weights_hash({"a": torch.ones(3, 2).T, "b": torch.ones(())})
    assert weights_hash(here) != weights_hash(other)
