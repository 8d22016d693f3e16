"""What every decoder promises, with every connector."""

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.decoders import WordPiece as WordPieceDecoder
from tokenizers.models import WordPiece

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.decoder.base import shifted
from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.limits import Limits
from mmtx_cli.layer.context import Context
from mmtx_cli.types import IGNORE_INDEX
from tests.decoders import (
    KINDS,
    MODELS,
    generated,
    rows,
    tiny_context,
    tiny_decoder,
    tiny_texts,
)
from tests.tiny import BOS, EOS, LENGTH, VOCAB, gradients, same

EXACT = 1e-5
"""Share of the largest value; some models compute their norms and softmax in float32."""


@pytest.fixture(scope="module", params=[*KINDS, *MODELS, "tokens"])
def decoder(request):
    """Every decoder; the first one also reading the context by its tokens."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param != "tokens":
            yield tiny_decoder(request.param)
            return
        patch.setattr("mmtx_cli.layer.decoder.TYPICAL_LENGTH", 0)
        yield tiny_decoder(())


def real(texts):
    return texts != IGNORE_INDEX


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_one_token_at_a_time_is_all_at_once(decoder, beams):
    context, texts = tiny_context(decoder), tiny_texts()
    wanted = decoder.logits(decoder(texts, context))
    state = decoder.start(context, beams, LENGTH)
    for position in range(LENGTH):
        tokens = texts[:, position].clamp(min=0)[:, None].expand(-1, beams)
        found = decoder.logits(decoder.step(tokens, state, position))
        assert found.shape == (4, beams, VOCAB)
        there = real(texts)[:, position]
        same(found[there], wanted[there, position, None].expand(-1, beams, -1), EXACT)


@torch.no_grad()
def test_beams_change_places(decoder):
    """In every step, each beam continues any beam of its input."""
    beams, random = 3, torch.Generator().manual_seed(1)
    context, texts = tiny_context(decoder), tiny_texts()
    state = decoder.start(context, beams, LENGTH)
    past = texts[:, :1].repeat_interleave(beams, dim=0)
    for position in range(5):
        hidden = decoder.step(past[:, -1].view(4, beams), state, position)
        found = decoder.logits(hidden).flatten(0, 1)
        same(found, decoder.logits(decoder(past, context))[:, -1], EXACT)
        origin = torch.randint(beams, (4, beams), generator=random)
        chosen = (torch.arange(4)[:, None] * beams + origin).flatten()
        state.reorder(chosen, position + 1)
        new = torch.randint(5, VOCAB, (4 * beams, 1), generator=random)
        past = torch.cat([past[chosen], new], dim=1)


@torch.no_grad()
def test_inputs_do_not_depend_on_each_other_nor_on_padding(decoder):
    context, texts = tiny_context(decoder), tiny_texts()
    together = decoder(texts, context)
    for i in range(4):
        length = int(real(texts)[i].sum())
        alone = decoder(texts[i : i + 1, :length], rows(context, slice(i, i + 1)))
        same(alone, together[i : i + 1, :length], EXACT)


@torch.no_grad()
def test_what_is_masked_changes_nothing(decoder):
    context, texts = tiny_context(decoder), tiny_texts()
    noise = torch.randn_like(context.x) * ~context.mask[..., None]
    other = Context(context.x + noise, context.mask, context.summary, streams=context.streams)
    same(decoder(texts, other)[real(texts)], decoder(texts, context)[real(texts)], EXACT)


@torch.no_grad()
def test_what_is_real_counts(decoder):
    """Every token of the context changes the prediction; nothing changes those before it."""
    context, texts = tiny_context(decoder), tiny_texts()
    before = decoder(texts, context)
    for i, j in context.mask.nonzero().tolist():
        x = context.x.clone()
        x[i, j] += torch.randn(x.shape[2], dtype=x.dtype)
        after = decoder(texts, Context(x, context.mask, context.summary, streams=context.streams))
        changed = (after - before)[real(texts)].norm(dim=-1)
        own = torch.arange(4)[:, None].expand_as(texts)[real(texts)] == i
        assert changed[own].max() > 1e-9
        assert not changed[~own].any()
    other = texts.clone()
    other[:, 5:] = EOS
    after = decoder(other, context)
    same(after[:, :5][real(texts)[:, :5]], before[:, :5][real(texts)[:, :5]], EXACT)


@torch.no_grad()
def test_several_texts_of_an_input(decoder):
    context, texts = tiny_context(decoder), tiny_texts(k=2)
    found = decoder(texts, context)
    for j in range(2):
        own = texts[j::2]
        same(found[j::2][real(own)], decoder(own, context)[real(own)], EXACT)


def test_log_probabilities_are_those_of_the_loss(decoder):
    context, texts = tiny_context(decoder), tiny_texts(k=2)
    inputs, targets = shifted(texts)
    found = decoder.log_probs(inputs, targets, context)
    assert not found[~real(targets)].any()
    same(-found.sum(), decoder.text_loss(inputs, targets, context), EXACT)
    step = decoder.logits(decoder(inputs, context)).log_softmax(dim=-1)
    for row, place in real(targets).nonzero().tolist():
        same(found[row, place], step[row, place, targets[row, place]].to(found.dtype), EXACT)


def test_the_loss_is_the_cross_entropy(decoder):
    context, texts = tiny_context(decoder), tiny_texts()
    inputs, following = shifted(texts)
    hidden = decoder(inputs, context)
    for smoothing in (0.0, 0.2):
        found = decoder.loss(hidden.flatten(0, 1), following.flatten(), smoothing)
        log_p = decoder.logits(hidden).log_softmax(dim=-1)[following != IGNORE_INDEX]
        chosen = following[following != IGNORE_INDEX]
        right = log_p.gather(1, chosen[:, None])[:, 0]
        wanted = -((1 - smoothing) * right + smoothing * log_p.mean(dim=1)).sum()
        same(found.detach(), wanted.detach(), 1e-6)
    found.backward()
    assert all(gradient.isfinite().all() for gradient in gradients(decoder).values())
    decoder.zero_grad()


def test_the_state_is_saved(decoder):
    """A decoder rebuilt without its weights, and with other ones at first."""
    context, texts = tiny_context(decoder), tiny_texts()
    state = {name: x.clone() for name, x in decoder.state_dict().items()}
    changed = {name: x + 1 if x.is_floating_point() else x for name, x in state.items()}
    before = decoder(texts, context)
    decoder.load_state_dict(changed)
    try:
        assert (decoder(texts, context) - before)[real(texts)].abs().max() > 1e-3
    finally:
        decoder.load_state_dict(
            {n: x - 1 if x.is_floating_point() else x for n, x in changed.items()}
        )


@torch.no_grad()
def test_bfloat16(decoder):
    context, texts = tiny_context(decoder), tiny_texts()
    single, dtype = decoder.float(), context.x.dtype
    context = tiny_context(single)
    wanted = single.logits(single(texts, context))
    with torch.autocast("cpu", torch.bfloat16):
        found = single.logits(single(texts, context)).float()
    decoder.to(dtype)
    difference = (found - wanted)[real(texts)]
    assert found.isfinite().all()
    assert difference.norm() <= 0.05 * wanted[real(texts)].norm()


@pytest.mark.parametrize(
    "args", [k for k in [*KINDS, *MODELS] if "connector=prefix" in k.values[0]]
)
@pytest.mark.parametrize("size", [20, 64, 1000])
def test_packing_changes_neither_loss_nor_gradients(args, size):
    decoder = tiny_decoder(args)
    context, texts = tiny_context(decoder), tiny_texts(k=3)
    texts[4:6] = IGNORE_INDEX  # an input with fewer texts than the others
    inputs, following = shifted(texts)

    def step():
        decoder.zero_grad()
        hidden = decoder(inputs, context)
        loss = decoder.loss(hidden.flatten(0, 1), following.flatten())
        loss.backward()
        return {"loss": loss.detach(), **gradients(decoder)}

    decoder.train()
    apart = step()
    decoder.pack = size
    same(step(), apart, 1e-5)


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_an_input_is_generated_as_if_it_were_alone(decoder, beams):
    """Inputs end at different lengths, and leave the batch; the end is a word that occurs."""
    context = tiny_context(decoder)
    lengths = set()
    written, _ = generated(decoder, [context], Limits(BOS, EOS, LENGTH), num_beams=beams)
    for eos in [EOS, *written.unique().tolist()[:4]]:
        limits = Limits(BOS, eos, LENGTH)
        together, scores = generated(decoder, [context], limits, num_beams=beams)
        for i in range(4):
            alone, score = generated(
                decoder, [rows(context, slice(i, i + 1))], limits, num_beams=beams
            )
            assert torch.equal(alone[0], together[i])
            same(score[0], scores[i], EXACT)
            lengths.add(int((together[i] != eos).sum()))
    assert len(lengths) > 1


@torch.no_grad()
@pytest.mark.parametrize("beams", [1, 3])
def test_waiting_inputs_take_the_places_of_finished_ones(decoder, beams):
    contexts = [tiny_context(decoder, seed) for seed in range(4)]
    written, _ = generated(decoder, contexts, Limits(BOS, EOS, LENGTH), num_beams=beams)
    for eos in [EOS, *written.unique().tolist()[:3]]:
        limits = Limits(BOS, eos, LENGTH)
        apart = [generated(decoder, [context], limits, num_beams=beams) for context in contexts]
        tokens, scores = (torch.cat(parts) for parts in zip(*apart, strict=True))
        for capacity in (3, 5):
            found, score = generated(decoder, contexts, limits, capacity, num_beams=beams)
            assert torch.equal(found, tokens)
            same(score, scores, EXACT)


def word_tokenizer():
    """The i-th token is the word wi."""
    backend = Tokenizer(WordPiece({f"w{i}": i for i in range(VOCAB)}, unk_token="w0"))
    backend.add_special_tokens([f"w{BOS}", f"w{EOS}"])
    backend.decoder = WordPieceDecoder(cleanup=False)
    return backend


@torch.no_grad()
@pytest.mark.parametrize(
    "search",
    [{"num_beams": 1}, {}, {"do_sample": True}, {"penalty_alpha": 0.5}],
    ids=["greedy", "beams", "sampling", "contrastive"],
)
def test_constraints_hold(decoder, search):
    contexts = [tiny_context(decoder, seed) for seed in range(2)]
    kept, lost = VOCAB - 1, VOCAB - 2
    keys = {"include": [f"w{kept}"], "exclude": [f"w{lost}"], "prefix": "w9 w8", **search}
    constraint = Constraint(GenerationSettings(**keys), word_tokenizer())
    limits = Limits(BOS, EOS, LENGTH)
    tokens, _ = generated(decoder, contexts, limits, 3, constraint=constraint, **keys)
    for text in tokens.tolist():
        assert EOS in text[:-1]
        words = text[: text.index(EOS)]
        assert words[:2] == [9, 8]
        assert kept in words
        assert lost not in words
        assert BOS not in words
