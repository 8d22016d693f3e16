"""Texts of every encoder, fusion and decoder can be explained, or a message says why not."""

from dataclasses import replace

import pytest
import torch

from mmtx_cli.errors import ConfigError
from mmtx_cli.explanation.explain import explain
from mmtx_cli.fusion.base import PooledFusion
from mmtx_cli.types import FUSED
from tests.decoders import KINDS, MODELS
from tests.messages import mentions
from tests.tiny import (
    ENCODERS,
    EOS,
    FIRST_WORD,
    FUSIONS,
    REPRESENTATIVE,
    chosen_rows,
    noisy_where_absent,
    raw_of,
    same,
    tiny_batch,
    tiny_model,
)

MAPPED = [(modality, name) for modality, name in ENCODERS if modality != "text"]
"""Those of inputs that have places."""
METHODS = ("gradient", "rollout")
TEXTS = [[7, 8, 9, EOS], [6, EOS, 6, 6], [5, 7, 6, 8]]
COUNTS = {"image": [1, 2, 1], "video": [4, 3, 2], "audio": [18, 9, 13], "text": [4, 2, 3]}
NEAR = 1e-4
"""Share of the largest value: single precision, and sums in another order."""


class Words:
    """Every token is a word."""

    def decode(self, tokens):
        return " ".join(f"w{token}" for token in tokens)


def explained(model, batch, method, texts=TEXTS):
    return explain(model, batch, texts[: len(batch)], Words(), method)


def check(found, texts, names):
    """The maps of a batch of texts, for the modalities that each sample has."""
    for one, text, own in zip(found, texts, names, strict=True):
        words = text[: text.index(EOS)] if EOS in text else text
        assert one.words == [f"w{token}" for token in words]
        assert set(one.maps) == set(own)
        total = torch.zeros(len(words))
        for maps in one.maps.values():
            assert len(maps) == len(words)
            assert maps.isfinite().all()
            assert (maps >= 0).all()
            total += maps.flatten(1).sum(dim=1)
        torch.testing.assert_close(total, torch.ones(len(words)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("modality", "name"), MAPPED)
@pytest.mark.quick_cases(16)
def test_every_encoder(modality, name, method):
    model = tiny_model("concat", ["captioning"], [modality], [f"encoder/{modality}={name}"])
    if raw_of(modality, name) == "features":
        batch = tiny_batch(tiny_model("concat", ["captioning"], [modality]), {modality: [3]})
        with pytest.raises(ConfigError) as error:
            explained(model, batch, method)
        mentions(error.value, f"explain={method}", f"encoder/{modality}=precomputed")
        return
    batch = tiny_batch(model, {modality: COUNTS[modality]})
    found = explained(model, batch, method)
    check(found, TEXTS, [[modality]] * 3)
    for row, one in enumerate(found):
        count, shape = COUNTS[modality][row], one.maps[modality].shape[1:]
        assert shape[0] == count or (modality == "image" and count == 1)
    noisy = replace(batch, inputs={modality: noisy_where_absent(batch.inputs[modality])})
    agree(explained(model, noisy, method), found)
    alone = explained(model, chosen_rows(batch, [1], trim=True), method, TEXTS[1:2])
    agree(alone, found[1:2])


def agree(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        assert one.words == other.words
        same(one.maps, other.maps, NEAR)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fusion", FUSIONS)
def test_every_fusion(fusion, method):
    modalities = ["text", "image", "video", "audio"]
    model = tiny_model(fusion, ["captioning"], modalities)
    batch = tiny_batch(model, COUNTS | {"image": [1, 0, 1], "audio": [18, 9, 0]})
    pooled = isinstance(model.fusion, PooledFusion) and FUSED in model.head["captioning"].streams
    if method == "rollout" and pooled:
        with pytest.raises(ConfigError) as error:
            explained(model, batch, method)
        mentions(error.value, "explain=rollout", type(model.fusion).__name__, "explain=gradient")
        return
    found = explained(model, batch, method)
    check(found, TEXTS, [["image", "video", "audio"], ["video", "audio"], ["image", "video"]])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("args", [*KINDS, *MODELS])
@pytest.mark.quick_cases(8)
def test_every_decoder(args, method):
    model = tiny_model("concat", ["captioning"], ["image"], args)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "gate" in name:
                parameter.fill_(0.5)
    batch = tiny_batch(model, {"image": [1, 2, 1]})
    found = explained(model, batch, method)
    check(found, TEXTS, [["image"]] * 3)
    agree(explained(model, chosen_rows(batch, [1]), method, TEXTS[1:2]), found[1:2])
    different = found[0].maps["image"]
    assert (different[0] - different[1]).abs().max() > 1e-6 * different.max()


def test_representative_encoders_are_all_explained():
    assert {modality for modality, _ in ENCODERS} == set(REPRESENTATIVE)
    assert min(min(text) for text in TEXTS) == EOS < FIRST_WORD
