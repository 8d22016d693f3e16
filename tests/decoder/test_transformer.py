import pytest
import torch

from mmtx_cli.decoder.transformer import TransformerDecoder
from mmtx_cli.layer.context import Context

VOCAB, DIM, LENGTH = 11, 16, 7


@pytest.fixture(params=["keys", "tokens"])
def decoder(request, monkeypatch):
    """Reads the context by its keys and values, or by its tokens."""
    if request.param == "tokens":
        monkeypatch.setattr("mmtx_cli.layer.decoder.TYPICAL_LENGTH", 0)
    return TransformerDecoder(VOCAB, DIM, LENGTH, depth=2, num_heads=4).eval()


@pytest.fixture
def context():
    """Of three inputs: whole, padded, and nothing at all."""
    mask = torch.arange(5) < torch.tensor([[5], [2], [0]])
    return torch.randn(3, 5, DIM), mask


def logits(decoder, tokens, context):
    """Of every next token, by teacher forcing."""
    return decoder.logits(decoder(tokens, Context(*context)))


def repeated(context, beams):
    return tuple(x.repeat_interleave(beams, dim=0) for x in context)


@pytest.mark.parametrize("beams", [1, 3])
@torch.no_grad()
def test_step_by_step_is_all_at_once(decoder, context, beams):
    tokens = torch.randint(VOCAB, (3 * beams, LENGTH))
    wanted = logits(decoder, tokens, repeated(context, beams))
    state = decoder.start(Context(*context), beams, LENGTH)
    for position in range(LENGTH):
        predicted = tokens[:, position].view(3, beams)
        found = decoder.logits(decoder.step(predicted, state, position)).flatten(0, 1)
        torch.testing.assert_close(found, wanted[:, position], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_beams_change_places(decoder, context):
    """At every step each beam goes on from any beam of its input."""
    beams = 3
    state = decoder.start(Context(*context), beams, LENGTH)
    past = torch.empty(3 * beams, 0, dtype=torch.long)
    for position in range(LENGTH):
        predicted = torch.randint(VOCAB, (3, beams))
        past = torch.cat([past, predicted.view(-1, 1)], dim=1)
        found = decoder.logits(decoder.step(predicted, state, position)).flatten(0, 1)
        wanted = logits(decoder, past, repeated(context, beams))[:, -1]
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)
        origin = torch.randint(beams, (3, beams))
        rows = (torch.arange(3)[:, None] * beams + origin).flatten()
        past = past[rows]
        state.reorder(rows, position + 1)


def test_no_token_sees_what_follows(decoder, context):
    tokens = torch.randint(VOCAB, (3, LENGTH))
    other = tokens.clone()
    other[:, 4:] = (other[:, 4:] + 1) % VOCAB
    a, b = decoder(tokens, Context(*context)), decoder(other, Context(*context))
    torch.testing.assert_close(a[:, :4], b[:, :4])
    assert (a[:, 4:] - b[:, 4:]).abs().amax(dim=-1).min() > 1e-3


def test_no_token_sees_what_is_masked(decoder, context):
    tokens = torch.randint(VOCAB, (3, LENGTH))
    x, mask = context
    other = x.masked_fill(~mask[..., None], 50.0)
    assert torch.equal(decoder(tokens, Context(x, mask)), decoder(tokens, Context(other, mask)))


def test_without_context_it_is_a_language_model(decoder, context):
    tokens = torch.randint(VOCAB, (1, LENGTH)).expand(3, -1)
    hidden = decoder(tokens, Context(*context))
    hidden[2].square().sum().backward()
    assert all(p.grad.isfinite().all() for p in decoder.parameters() if p.grad is not None)
    assert (hidden[0] - hidden[2]).abs().max() > 1e-3


def test_a_long_context_is_read_by_its_tokens_if_texts_are_few(monkeypatch):
    decoder = TransformerDecoder(VOCAB, 64, LENGTH, depth=1, num_heads=2).eval()
    long = Context(torch.randn(2, 60, 64), torch.ones(2, 60, dtype=torch.bool))
    short = Context(long.x[:, :3], long.mask[:, :3])
    for context, beams, keys in ((long, 1, False), (long, 4, True), (short, 1, True)):
        (cache,) = decoder.start(context, beams, LENGTH).caches
        assert (cache.context is not None) == keys
