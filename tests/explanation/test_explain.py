"""The explanation of a batch of texts."""

import pytest
import torch

from mmtx_cli.errors import ConfigError
from mmtx_cli.explanation.explain import explain
from mmtx_cli.explanation.heatmap import CELLS
from tests.decoders import KINDS
from tests.messages import mentions, raises
from tests.tiny import EOS, SIDE, same, tiny_batch, tiny_model

MODALITIES = ["image", "video", "audio"]


class Syllables:
    """Tokens from 20 on continue a word."""

    def decode(self, tokens):
        return "".join(f"+{t}" if t >= 20 else f" {t}" for t in tokens).strip()


def model_and_batch(counts, *args):
    model = tiny_model("concat", ["captioning"], MODALITIES, args)
    return model, tiny_batch(model, counts)


def test_maps_of_words_by_modality():
    model, batch = model_and_batch({"image": [1, 3], "video": [4, 2], "audio": [20, 9]})
    one, two = explain(model, batch, [[7, 22, 8, EOS], [9]], Syllables())
    assert one.words == ["7+22", "8"]
    assert two.words == ["9"]
    side = min(SIDE, CELLS)
    shapes = {name: tuple(x.shape) for name, x in one.maps.items()}
    assert shapes["image"] == (2, side, side)
    assert shapes["video"] == (2, 4, side, side)
    assert shapes["audio"][:2] == (2, 20)
    assert two.maps["image"].shape == (1, 3, side, side)
    assert two.maps["video"].shape == (1, 2, side, side)
    assert two.maps["audio"].shape[:2] == (1, 9)
    for found in (one, two):
        total = sum(x.flatten(1).sum(dim=1) for x in found.maps.values())
        torch.testing.assert_close(total, torch.ones(len(found.words)))


@pytest.mark.parametrize("method", ["gradient", "rollout"])
def test_a_word_has_the_sum_of_what_its_tokens_have(method):
    """Of one token after the other; the text before them is the same."""
    model, batch = model_and_batch({"image": [1], "video": [0], "audio": [0]})

    class Apart:
        def decode(self, tokens):
            return " ".join(map(str, tokens))

    (together,) = explain(model, batch, [[7, 22]], Syllables(), method)
    (apart,) = explain(model, batch, [[7, 22]], Apart(), method)
    assert len(apart.words) == 2
    whole, parts = together.maps["image"][0], apart.maps["image"]
    if method == "rollout":  # it is linear: a mean weighted by the influence of the tokens
        weight = (whole - parts[1]).norm() / (parts[0] - parts[1]).norm()
        same(whole, weight * parts[0] + (1 - weight) * parts[1], 1e-5)
    assert not torch.equal(parts[0], parts[1])


def test_text_in_inference_mode_and_after_the_end():
    model, batch = model_and_batch({"image": [1, 1], "video": [0, 0], "audio": [0, 3]})
    wanted = explain(model, batch, [[7, 8], [9, 5]], Syllables())
    with torch.inference_mode():
        tokens = torch.tensor([[7, 8, EOS, 9], [9, 5, EOS, EOS]])
        moved = batch.map(torch.clone)
        found = explain(model, moved, tokens, Syllables())
    for one, other in zip(found, wanted, strict=True):
        same(one.maps, other.maps)
    assert set(found[0].maps) == {"image"}
    assert set(found[1].maps) == {"image", "audio"}


def test_an_empty_text_has_no_words():
    model, batch = model_and_batch({"image": [1, 1], "video": [0, 0], "audio": [0, 0]})
    empty, other = explain(model, batch, [[EOS, 7], [8]], Syllables())
    assert empty.words == []
    assert empty.maps == {}
    assert len(other.maps["image"]) == 1


def test_many_samples_are_explained_in_parts():
    count = 19
    model = tiny_model("concat", ["captioning"], ["image"])
    batch = tiny_batch(model, {"image": [1] * count})
    found = explain(model, batch, [[5 + i % 5] for i in range(count)], Syllables())
    assert [one.words for one in found] == [[str(5 + i % 5)] for i in range(count)]
    alone = explain(model, tiny_batch(model, {"image": [1] * count}), [[7]] * count, Syllables())
    same(found[2].maps, alone[2].maps, 1e-4)


def test_what_cannot_be_explained():
    model, batch = model_and_batch({"image": [1], "video": [0], "audio": [0]})
    with raises(ConfigError, "explain", "'gradeint'", "gradient"):
        explain(model, batch, [[7]], Syllables(), "gradeint")
    with raises(ConfigError, "explain", "'caption'", "captioning"):
        explain(model, batch, [[7]], Syllables(), head="caption")
    plain = tiny_model("concat", ["classification"], ["image"])
    with raises(ConfigError, "generates no texts", "classification"):
        explain(plain, tiny_batch(plain, {"image": [1]}), [[7]], Syllables())
    text = tiny_model("concat", ["captioning"], ["text"])
    with raises(ConfigError, "reads no pictures"):
        explain(text, tiny_batch(text, {"text": [4]}), [[7]], Syllables())
    field = batch.inputs["image"]
    field.encoded = True
    with pytest.raises(ConfigError) as error:
        explain(model, batch, [[7]], Syllables())
    mentions(error.value, "cached features")


@torch.no_grad()
@pytest.mark.parametrize("args", KINDS)
def test_texts_that_are_half_generated_go_on_as_before(args):
    model = tiny_model("concat", ["captioning"], ["image"], args)
    for name, parameter in model.named_parameters():
        if "gate" in name:
            parameter.fill_(0.5)
    head, batch = model.head["captioning"], tiny_batch(model, {"image": [1, 2]})
    other = tiny_batch(model, {"image": [1]}, seed=5)

    def generated(explained):
        context = head.decoder_context(model.fusion(model.encode(batch)), batch)
        state = head.decoder.start(context, 1, 4)
        for position, token in enumerate([head.bos_id, 7, 8]):
            hidden = head.decoder.step(torch.full((2, 1), token), state, position)
            if explained:
                explain(model, other, [[7]], Syllables())
        return hidden

    assert torch.equal(generated(True), generated(False))
