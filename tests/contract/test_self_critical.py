"""Self-critical training of every decoder, with every connector."""

import pytest
import torch

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.head.objective.self_critical import SelfCriticalHead
from mmtx_cli.layer.frozen_teacher import FrozenTeacher
from mmtx_cli.types import Batch, Tokens
from tests.decoders import KINDS, language_model, tiny_decoder
from tests.tiny import BOS, DIM, EOS, LENGTH, same

IDS = list("abcd")
STREAMS = ("image", "audio")
REFERENCES = {
    "a": ["w5 w6 w7", "w5 w6 w8 w9"],
    "b": ["w6 w7"],
    "c": ["w8 w9 w10 w11", "w5 w7", "w6"],
    "d": ["w12 w5 w6"],
}


class Words:
    """Token i is the word wi."""

    def decode(self, tokens):
        tokens = list(tokens)
        return " ".join(f"w{token}" for token in tokens[: [*tokens, EOS].index(EOS)])


def samples():
    return [Sample(name, "train", captions=tuple(texts)) for name, texts in REFERENCES.items()]


class Start(torch.nn.Module):
    """A trained captioner, whose encoders give the streams that it is given."""

    def __init__(self, head, streams):
        super().__init__()
        self.head = torch.nn.ModuleDict({"captioning": head})
        self.given = streams

    def streams(self, batch, names, known):
        return self.given


def head_of(kind, start=None, **settings):
    teacher = None if start is None else FrozenTeacher(start)
    head = SelfCriticalHead(
        DIM,
        STREAMS,
        BOS,
        EOS,
        lambda streams: tiny_decoder(kind.values[0] if hasattr(kind, "values") else kind, streams),
        teacher,
        max_length=LENGTH,
        num_samples=3,
        **settings,
    )
    head.double().begin_training(samples(), [], Words())
    return head.train()


def streams_of(dtype=torch.float64, seed=0):
    """Two streams of four inputs; the last has neither."""
    random = torch.Generator().manual_seed(seed)
    masks = torch.tensor([[1, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 0]]).bool()
    return {
        name: Tokens(torch.randn(4, 3, DIM, generator=random, dtype=dtype) * mask[..., None], mask)
        for name, mask in zip(STREAMS, (masks, masks.flip(1)), strict=True)
    }


def batch_of(ids=IDS):
    """The captions that the batch has are only those of the cross-entropy."""
    target = torch.tensor([[BOS, 5, 6, EOS]] * len(ids))
    return Batch({}, {"captions": target}, [*ids])


def next_log_p(head, context, row, words):
    """Log-probabilities of the word after ``words``, by all of the decoder anew."""
    one = context.select(torch.tensor([row]))
    hidden = head.decoder(torch.tensor([[BOS, *words]]), one)
    return head.decoder.logits(hidden)[0, -1].log_softmax(dim=0)


@pytest.fixture(params=[kind.values[0] for kind in KINDS], ids=[kind.id for kind in KINDS])
def kind(request):
    return request.param


def captions(head, context, batch, greedy=False):
    """The captions that the head samples, as lists up to EOS."""
    settings = (
        GenerationSettings(num_beams=1)
        if greedy
        else GenerationSettings(do_sample=True, num_return_sequences=3)
    )
    texts = head.texts(context, batch.keys, settings).tokens
    found = []
    for own in texts.tolist():
        own = [text[: LENGTH - 1] for text in own]
        found.append([t[: t.index(EOS) + 1] if EOS in t else t for t in own])
    return found


def scored(head, name, text):
    """The reward of a caption up to EOS."""
    return head.reward.score(name, [f"w{t}" for t in text if t != EOS], EOS in text)


@pytest.mark.parametrize("baseline", ["leave_one_out", "greedy"])
def test_the_loss_is_a_naive_policy_gradient(kind, baseline):
    """Loss and all gradients, word by word, with the divergence and the cross-entropy."""
    streams, batch = streams_of(), batch_of()
    start = head_of(kind)
    start.load_state_dict({n: x * 0.9 for n, x in start.state_dict().items()})
    start = Start(start.eval(), streams)
    head = head_of(kind, start, baseline=baseline, kl=0.3, cross_entropy=0.2)
    found = head(streams, batch)
    found.loss.backward()
    grads = {n: p.grad.clone() for n, p in head.named_parameters() if p.grad is not None}
    head.zero_grad()

    context, other = head.decoder_context(streams, batch), start.head["captioning"]
    start_context = other.decoder_context(streams, batch)
    total, rewards = torch.zeros((), dtype=torch.float64), []
    drawn, best = captions(head, context, batch), captions(head, context, batch, greedy=True)
    for row, name in enumerate(IDS):
        score = [scored(head, name, text) for text in drawn[row]]
        greedy = scored(head, name, best[row][0])
        for i, text in enumerate(drawn[row]):
            others = [x for j, x in enumerate(score) if j != i]
            against = greedy if baseline == "greedy" else sum(others) / len(others)
            for t, word in enumerate(text):
                log_p = next_log_p(head, context, row, text[:t])
                log_q = next_log_p(other, start_context, row, text[:t]).detach()
                divergence = (log_p.exp() * (log_p - log_q)).sum()
                total = total + (0.3 * divergence - (score[i] - against) * log_p[word]) / 3
        for past, word in ((0, 5), (1, 6), (2, EOS)):
            total = total - 0.2 * next_log_p(head, context, row, [5, 6][:past])[word]
        rewards += score
    (total / 4).backward()
    wanted = {n: p.grad for n, p in head.named_parameters() if p.grad is not None}
    assert found.metrics["reward"].item() == pytest.approx(sum(rewards) / 12, rel=1e-6, abs=1e-9)
    assert any(g.abs().max() > 1e-6 for g in wanted.values())
    for n, gradient in wanted.items():
        same(grads[n], gradient, 1e-5)
    assert grads.keys() == wanted.keys()


def test_samples_do_not_depend_on_the_batch(kind):
    streams, batch = streams_of(), batch_of()
    head = head_of(kind, kl=0.0)
    together = captions(head, head.decoder_context(streams, batch), batch)
    order = torch.tensor([2, 0])
    some = {name: Tokens(s.x[order], s.mask[order]) for name, s in streams.items()}
    part = Batch({}, {}, ["c", "a"])
    assert captions(head, head.decoder_context(some, part), part) == [together[2], together[0]]


def test_it_learns_to_raise_the_reward(kind):
    streams, batch = streams_of(), batch_of()
    head = head_of(kind, kl=0.0)
    head.float().num_samples = 10
    streams = {name: Tokens(s.x.float(), s.mask) for name, s in streams.items()}
    optimizer = torch.optim.Adam([p for p in head.parameters() if p.requires_grad], lr=0.01)
    rewards = []
    for step in range(45):
        batch.keys = torch.arange(4) * 1000 + step
        prediction = head(streams, batch)
        optimizer.zero_grad()
        prediction.loss.backward()
        optimizer.step()
        rewards.append(prediction.metrics["reward"].item())
    assert sum(rewards[-10:]) > 3 * sum(rewards[:10])


def test_frozen_weights_are_in_memory_once():
    """Those of a language model that only adapters of are trained."""
    kind = ("decoder=huggingface", "connector=prefix", *language_model("llama"))
    head = head_of(kind, Start(head_of(kind).eval(), streams_of()))
    head.decoder.lm.requires_grad_(False)
    head(streams_of(), batch_of()).loss.backward()
    teacher = dict(head.teacher.model.head["captioning"].decoder.named_parameters())
    for name, parameter in head.decoder.named_parameters():
        assert parameter.requires_grad == name.startswith("connector."), name
        is_shared = teacher[name].data_ptr() == parameter.data_ptr()
        assert is_shared != parameter.requires_grad, name


def test_nothing_in_the_decoder_drops_out(kind):
    head = head_of(kind)
    assert head.training
    assert not any(module.training for module in head.decoder.modules())


def test_it_is_a_captioning_head_without_references(kind):
    head = head_of(kind)
    head.reward = None
    plain = CaptioningHead(
        DIM, STREAMS, BOS, EOS, lambda n: tiny_decoder(kind, n), max_length=LENGTH
    ).double()
    plain.load_state_dict(head.state_dict())
    streams, batch = streams_of(), batch_of()
    same(head.eval()(streams, batch).loss, plain.eval()(streams, batch).loss)
