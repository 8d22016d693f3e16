"""What published vision-language models of every supported kind promise."""

from dataclasses import replace

import pytest
import torch

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.limits import Limits
from mmtx_cli.layer.context import Context
from mmtx_cli.types import IGNORE_INDEX, ModalityInput
from tests.decoders import generated
from tests.tiny import same
from tests.vision_language_models import ARCHITECTURES, SIDE, save_vision_language_model

pytest.importorskip("transformers")
LENGTH = 8
EXACT = 1e-5
"""Share of the largest value: some models compute their norms and positions in float32."""


QUICK = ("blip", "llava", "qwen2_vl", "florence2")
KINDS = [
    pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in ARCHITECTURES
]


@pytest.fixture(scope="module", params=KINDS)
def weights(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vlm") / request.param
    return save_vision_language_model(folder, request.param)


@pytest.fixture(scope="module")
def tokenizer(weights):
    from mmtx_cli.vlm.huggingface import HuggingFaceVLM

    return Tokenizer.from_json(HuggingFaceVLM.tokenizer_json(weights))


@pytest.fixture(scope="module")
def vlm(weights):
    return build(weights).double()


def build(weights, **more):
    from mmtx_cli.vlm.huggingface import HuggingFaceVLM

    return HuggingFaceVLM(weights=weights, max_length=LENGTH, image_size=SIDE, **more).eval()


def context(seed=0, dtype=torch.float64):
    """Four inputs: a picture, another picture, a film, and nothing."""
    random = torch.Generator().manual_seed(seed)
    there = {
        "image": torch.tensor([[1], [1], [0], [0]]).bool(),
        "video": torch.tensor([[0] * 3, [0] * 3, [1] * 3, [0] * 3]).bool(),
    }
    raw = {
        name: ModalityInput(
            torch.randint(1, 256, (*mask.shape, 3, SIDE, SIDE), generator=random).byte(), mask
        )
        for name, mask in there.items()
    }
    mask = torch.cat(list(there.values()), dim=1)
    return Context(mask[..., None].to(dtype), mask, None, None, (1, 3), raw)


def some(whole, index):
    """Some inputs of a context."""
    raw = {name: field.map(lambda x: x[index]) for name, field in whole.raw.items()}
    return replace(whole, x=whole.x[index], mask=whole.mask[index], raw=raw)


def limits(tokenizer):
    return Limits(tokenizer.bos_id, tokenizer.eos_id, LENGTH)


def texts(tokenizer, k=1, seed=0):
    """Texts of different lengths, k for each of four inputs, without the last token."""
    random = torch.Generator().manual_seed(seed)
    words = torch.randint(20, 300, (4 * k, LENGTH), generator=random)
    words[:, 0] = tokenizer.bos_id
    lengths = torch.randint(3, LENGTH + 1, (4 * k, 1), generator=random)
    return words.where(torch.arange(LENGTH) < lengths, IGNORE_INDEX)


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_a_score_is_the_log_probability_in_training(vlm, tokenizer, beams):
    shown, eos = context(), tokenizer.eos_id
    tokens, score = generated(vlm, [shown], limits(tokenizer), num_beams=beams)
    assert tokens.shape == (4, LENGTH)
    length = ((tokens != eos).sum(dim=1) + 1).clamp(max=LENGTH - 1)
    real = torch.arange(LENGTH) < length[:, None]
    before = torch.cat([torch.full_like(tokens[:, :1], tokenizer.bos_id), tokens[:, :-1]], dim=1)
    logits = vlm(before.where(real, IGNORE_INDEX), shown)
    own = logits.log_softmax(dim=-1).gather(2, tokens[..., None])[..., 0]
    same(score.double(), own.where(real, 0).sum(dim=1) / length, EXACT)
    if beams == 1:
        assert (logits.argmax(dim=-1) == tokens)[real].all()


@torch.no_grad()
@pytest.mark.parametrize(
    "settings",
    [
        {"num_beams": 3, "num_return_sequences": 2, "no_repeat_ngram_size": 2},
        {"do_sample": True, "num_return_sequences": 2, "top_k": 20, "min_new_tokens": 3},
        {"num_beams": 1, "repetition_penalty": 2.0, "max_new_tokens": 4},
    ],
    ids=["beams", "sampling", "rules"],
)
def test_settings_of_generation(vlm, tokenizer, settings):
    """An input is generated as if it were alone, with all of its texts and probabilities."""
    own, shown = GenerationSettings(**settings), context()

    def texts_of(part, keys):
        found = list(vlm.generate([(part, keys)], own, limits(tokenizer)))
        order = torch.cat([numbers for numbers, _ in found]).argsort()
        names = ("tokens", "scores", "log_probs")
        return [torch.cat([getattr(x, name) for _, x in found])[order] for name in names]

    keys = torch.tensor([5, 6, 7, 8])
    tokens, scores, log_probs = texts_of(shown, keys)
    several = settings.get("num_return_sequences", 1)
    assert tokens.shape == log_probs.shape == (4, several, LENGTH)
    count = (log_probs != 0).sum(dim=2).clamp(min=1)
    same(scores, log_probs.sum(dim=2) / count, 1e-4)
    assert (scores.diff(dim=1) <= 0).all()
    assert count.max() <= settings.get("max_new_tokens", LENGTH - 1)
    for i in range(4):
        alone, score, _ = texts_of(some(shown, slice(i, i + 1)), keys[i : i + 1])
        assert torch.equal(alone[0], tokens[i])
        same(score[0], scores[i], 1e-4)


@torch.no_grad()
@pytest.mark.parametrize("search", [{"num_beams": 1}, {"num_beams": 3}, {"do_sample": True}])
def test_constraints_hold(vlm, tokenizer, search):
    keys = {"include": ["z"], "exclude": ["a"], **search}
    own = GenerationSettings(**keys)
    constraint = Constraint(own, tokenizer.backend)
    limits_ = Limits(tokenizer.bos_id, tokenizer.eos_id, LENGTH)
    keys = torch.tensor([5, 6, 7, 8])
    for _, found in vlm.generate([(context(), keys)], own, limits_, constraint=constraint):
        for text in found.tokens[:, 0].tolist():
            assert tokenizer.eos_id in text[:-1]
            assert not constraint.unmet(tokenizer.decode(text)), tokenizer.decode(text)


@torch.no_grad()
def test_inputs_are_independent(vlm, tokenizer):
    shown, words = context(), texts(tokenizer)
    wanted = vlm(words, shown)
    for i in range(4):
        real = words[i] != IGNORE_INDEX
        found = vlm(words[i : i + 1], some(shown, slice(i, i + 1)))
        same(found[0][real], wanted[i][real], EXACT)
    order = torch.tensor([2, 0, 3, 1])
    found = vlm(words[order], some(shown, order))
    real = words[order] != IGNORE_INDEX
    same(found[real], wanted[order][real], EXACT)


@torch.no_grad()
def test_several_texts_of_an_input(vlm, tokenizer):
    shown, words = context(), texts(tokenizer, k=2)
    found = vlm(words, shown)
    for j in range(2):
        real = words[j::2] != IGNORE_INDEX
        same(found[j::2][real], vlm(words[j::2], shown)[real], EXACT)


@torch.no_grad()
def test_prompts_of_different_lengths(weights, tokenizer):
    vlm, shown, words = build(weights, prompt="{text} here").double(), context(), texts(tokenizer)
    plain = ("a", "two dogs run on", "red <image> blue", "What color is it?")
    rows = tokenizer.encode_plain(plain)
    prompt = torch.full((4, max(map(len, rows))), IGNORE_INDEX)
    for i, row in enumerate(rows):
        prompt[i, : len(row)] = torch.tensor(row)
    together = vlm(words, replace(shown, prompt=prompt))
    both = {"limits": limits(tokenizer), "num_beams": 2}
    written, _ = generated(vlm, [replace(shown, prompt=prompt)], **both)
    for i, row in enumerate(rows):
        real = words[i] != IGNORE_INDEX
        alone = replace(some(shown, slice(i, i + 1)), prompt=torch.tensor([row]))
        same(vlm(words[i : i + 1], alone)[0][real], together[i][real], EXACT)
        own, _ = generated(vlm, [alone], **both)
        assert torch.equal(own[0], written[i])


@torch.no_grad()
def test_only_what_is_present_counts(vlm, tokenizer):
    shown, words = context(), texts(tokenizer)
    other = context(seed=1)
    hidden = {
        name: replace(field, data=field.data.where(field.mask[..., None, None, None], new.data))
        for (name, field), new in zip(shown.raw.items(), other.raw.values(), strict=True)
    }
    real = words != IGNORE_INDEX
    wanted = vlm(words, shown)
    same(vlm(words, replace(shown, raw=hidden))[real], wanted[real], 0)
    changed = vlm(words, replace(shown, raw=other.raw))
    for i in range(3):
        assert (changed[i] - wanted[i])[real[i]].abs().max() > 1e-6
    same(changed[3][real[3]], wanted[3][real[3]], 0)  # shows nothing


def test_only_adapters_are_saved_and_trained(weights, tokenizer):
    pytest.importorskip("peft")
    shown, words = context(dtype=torch.float32), texts(tokenizer)
    vlm = build(weights, lora={"r": 2, "init_lora_weights": False})
    state = vlm.state_dict()
    assert state
    assert all("lora_" in name for name in state)
    assert not any("vision" in name or "visual" in name for name in state)
    real = words != IGNORE_INDEX
    vlm(words, shown)[real].square().mean().backward()
    trained = [p for p in vlm.parameters() if p.requires_grad]
    assert len(trained) == len(state)
    assert any(p.grad is not None and p.grad.abs().max() > 0 for p in trained)
    other = build(weights, lora={"r": 2})
    other.load_state_dict(state)
    with torch.no_grad():
        same(other(words, shown)[real], vlm(words, shown)[real], 0)
        assert (build(weights)(words, shown) - vlm(words, shown))[real].abs().max() > 1e-6


def test_an_exported_model_is_the_trained_one(weights, tokenizer, tmp_path):
    pytest.importorskip("peft")
    shown, words = context(dtype=torch.float32), texts(tokenizer)
    vlm = build(weights, lora={"r": 2, "init_lora_weights": False})
    real = words != IGNORE_INDEX
    with torch.no_grad():
        wanted = vlm(words, shown)[real]
        vlm.save_published(tmp_path / "merged")
        same(build(str(tmp_path / "merged"))(words, shown)[real], wanted, 1e-3)


@torch.no_grad()
def test_bfloat16(weights, vlm, tokenizer):
    shown, words = context(dtype=torch.float32), texts(tokenizer)
    real = words != IGNORE_INDEX
    found = build(weights, dtype="bfloat16")(words, shown)[real].double()
    wanted = vlm(words, context())[real]
    assert (found - wanted).norm() / wanted.norm() < 0.2


def test_the_whole_model_is_trained_and_saved(weights, tokenizer):
    vlm = build(weights, freeze=False)
    words = texts(tokenizer)
    vlm(words, context(dtype=torch.float32))[words != IGNORE_INDEX].square().mean().backward()
    state = vlm.state_dict()
    other = build(weights, freeze=False)
    with torch.no_grad():
        for parameter in vlm.parameters():
            parameter.mul_(0.9)
    other.load_state_dict(vlm.state_dict())
    assert state.keys() == other.state_dict().keys()
    for one, two in zip(vlm.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
