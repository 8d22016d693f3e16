import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.decoder.transformer import TransformerDecoder
from mmtx_cli.errors import DataError
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.types import IGNORE_INDEX, Batch, Tokens
from tests.messages import raises

from .words import EOS, Words

DIM, VOCAB, BOS, LENGTH = 8, 12, 2, 9


def head_of(streams=("image",), **kwargs):
    def decoder(num_streams):
        return TransformerDecoder(VOCAB, DIM, LENGTH, depth=2, num_heads=2, dropout=0.0)

    return CaptioningHead(DIM, streams, BOS, EOS, decoder, **({"max_length": LENGTH} | kwargs))


@pytest.fixture
def streams():
    """Of four samples: two of another length, one that lacks everything."""
    mask = torch.arange(5) < torch.tensor([[5], [3], [1], [0]])
    return {"image": Tokens(torch.randn(4, 5, DIM), mask)}


@pytest.fixture
def batch():
    """Captions of 7, 4 and 2 tokens, and none."""
    target = torch.randint(5, VOCAB, (4, 7))
    target[:, 0] = BOS
    for row, length in enumerate([7, 4, 2, 0]):
        target[row, max(0, length - 1) :] = EOS
        target[row, length:] = IGNORE_INDEX
    return Batch({}, {"captions": target}, list("abcd"))


def next_word(head, streams, row, predicted):
    """Log-probabilities [v] of what follows ``predicted``, in float64."""
    one = {name: Tokens(s.x[row : row + 1], s.mask[row : row + 1]) for name, s in streams.items()}
    context = head.decoder_context(one, Batch({}))
    hidden = head.decoder(torch.tensor([predicted]), context)[0, -1].detach().double()
    logits = (head.decoder.embedding.weight.detach().double() @ hidden).numpy()
    return logits - logits.max() - math.log(np.exp(logits - logits.max()).sum())


def naive_loss(head, streams, batch, smoothing):
    """Mean over the tokens, word by word (Szegedy et al. 2016, section 7, for smoothing)."""
    total, count = 0.0, 0
    for row, target in enumerate(batch.targets["captions"].tolist()):
        predicted = [token for token in target if token != IGNORE_INDEX]
        for t in range(1, len(predicted)):
            log_p = next_word(head, streams, row, predicted[:t])
            total -= (1 - smoothing) * log_p[predicted[t]] + smoothing * log_p.mean()
            count += 1
    return total / count


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_loss_is_that_of_the_next_word(streams, batch, smoothing):
    head = head_of(label_smoothing=smoothing).train()
    prediction = head(streams, batch)
    assert prediction.outputs["count"].item() == 6 + 3 + 1
    wanted = naive_loss(head, streams, batch, smoothing)
    assert prediction.loss.item() == pytest.approx(wanted, rel=1e-5)


def test_evaluation_is_not_smoothed(streams, batch):
    head = head_of(label_smoothing=0.2).eval()
    assert head(streams, batch).loss.item() == pytest.approx(
        naive_loss(head, streams, batch, 0.0), rel=1e-5
    )


@pytest.mark.skipif(not hasattr(F, "linear_cross_entropy"), reason="this torch has one path only")
@pytest.mark.parametrize("training", [False, True])
def test_both_paths_of_the_loss_agree(streams, batch, monkeypatch, training):
    head = head_of(label_smoothing=0.1).train(training)

    def step():
        head.zero_grad()
        loss = head(streams, batch).loss
        loss.backward()
        return [loss.detach(), *(p.grad.clone() for p in head.parameters())]

    fused = step()
    monkeypatch.delattr(F, "linear_cross_entropy")
    for a, b in zip(fused, step(), strict=True):
        torch.testing.assert_close(a, b, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("length", [1, 4])
def test_no_caption_at_all(streams, monkeypatch, fused, length):
    if not fused:
        monkeypatch.delattr(F, "linear_cross_entropy", raising=False)
    head = head_of().train()
    nothing = torch.full((4, length), IGNORE_INDEX)
    loss = head(streams, Batch({}, {"captions": nothing}, list("abcd"))).loss
    assert loss.item() == 0.0
    loss.backward()
    for name, p in head.named_parameters():
        assert p.grad is not None, name
        assert not p.grad.any(), name


@pytest.mark.parametrize("several_streams", [False, True])
def test_captions_of_one_sample_are_learned_as_those_of_equal_samples(
    streams, batch, several_streams
):
    names = ("image", "audio") if several_streams else ("image",)
    streams = dict.fromkeys(names, streams["image"])
    head = head_of(names)
    other = batch.targets["captions"].flip(0)
    both = torch.stack([batch.targets["captions"], other], dim=1)
    together = head(streams, Batch({}, {"captions": both}, batch.ids)).loss
    twice = {n: Tokens(s.x.repeat(2, 1, 1), s.mask.repeat(2, 1)) for n, s in streams.items()}
    targets = torch.cat([batch.targets["captions"], other])
    apart = head(twice, Batch({}, {"captions": targets}, batch.ids * 2)).loss
    torch.testing.assert_close(together, apart)


def test_no_target_no_loss(streams):
    assert head_of()(streams, Batch({}, {}, list("abcd"))).loss is None


@pytest.mark.parametrize("beams", [1, 3])
def test_matches_beam_search_without_a_cache(streams, beams):
    head = head_of().eval()
    head.generation = GenerationSettings(num_beams=beams)
    with torch.no_grad():  # decided enough to say something
        head.decoder.embedding.weight *= 3
    predicted = head.predict(streams, Batch({}, {}, list("abcd")))
    assert predicted["tokens"].shape == (4, 1, LENGTH)
    for row in range(4):
        tokens, score = plain_search(head, streams, row, beams)
        assert predicted["tokens"][row, 0].tolist() == tokens + [EOS] * (LENGTH - len(tokens))
        assert predicted["score"][row, 0].item() == pytest.approx(score, abs=1e-5)


def plain_search(head, streams, row, beams):
    """Beam search by lists, the whole decoder run anew at every step."""
    alive, ended = [(0.0, [])], []
    for length in range(1, LENGTH):
        candidates = [
            (total + log_p, [*predicted, token])
            for total, predicted in alive
            for token, log_p in enumerate(next_word(head, streams, row, [BOS, *predicted]))
        ]
        candidates = sorted(candidates, reverse=True)[: 2 * beams]
        ended += [(x / length, y) for x, y in candidates[:beams] if y[-1] == EOS]
        ended = sorted(ended, reverse=True)[:beams]
        alive = [(x, y) for x, y in candidates if y[-1] != EOS][:beams]
        if len(ended) == beams and ended[-1][0] >= alive[0][0] / length:
            break
    score, tokens = (ended or [(x / length, y) for x, y in alive])[0]
    return tokens, score


def test_looks_at_all_that_it_reads(batch):
    made = {
        name: Tokens(torch.randn(4, n, DIM), torch.ones(4, n, dtype=torch.bool))
        for name, n in [("text", 2), ("image", 3)]
    }
    head = head_of(("text", "image")).eval()
    assert head.streams == ("image", "text")
    before = head(made, batch).loss
    for name in made:
        other = {**made, name: Tokens(made[name].x + 1, made[name].mask)}
        assert (head(other, batch).loss - before).abs() > 1e-4


class TestEvaluate:
    samples = [
        Sample("a", "test", captions=("a red ball", "red ball on grass")),
        Sample("b", "test", captions=("a dog runs",)),
    ]

    def predicted(self, *tokens):
        return [{"tokens": torch.tensor([[*tokens, EOS, EOS]]), "score": torch.tensor([-0.5])}]

    def test_figures_and_rows(self):
        outputs = [self.predicted(5, 6, 7), self.predicted(5, 6, 7)]
        evaluation = head_of().evaluate(outputs, self.samples, Words())
        right, wrong = evaluation.rows
        assert right["caption"] == wrong["caption"] == "a red ball"
        assert right["references"] == ["a red ball", "red ball on grass"]
        assert right["score"] == -0.5
        assert right["scores"]["rouge_l"] == pytest.approx(1.0)
        assert wrong["scores"]["rouge_l"] == pytest.approx(1 / 3, abs=0.01)
        assert right["scores"]["cider"] > wrong["scores"]["cider"]
        figures = evaluation.scores.metrics()
        assert figures["bleu_1"] == pytest.approx(4 / 6)
        assert figures["rouge_l"] == pytest.approx(2 / 3, abs=0.01)

    def test_nothing_said(self):
        outputs = [self.predicted(), self.predicted(5, 8, 9)]
        evaluation = head_of().evaluate(outputs, self.samples, Words())
        assert evaluation.rows[0]["caption"] == ""
        assert evaluation.rows[0]["scores"]["rouge_l"] == 0.0

    def test_nothing_to_compare_with(self):
        with raises(DataError, "1 of 1 samples", "reference caption", ": c;"):
            head_of().evaluate([self.predicted(5)], [Sample("c", "test")], Words())


class TestAnswers:
    samples = [
        Sample("a", "test", answers={"a dog": 9.0, "cat": 1.0}),
        Sample("b", "test", answers={"Red ball.": 5.0, "ball": 5.0}),
        Sample("c", "test", answers={"ball": 10.0}),
    ]

    def test_are_learned_as_captions_are(self, streams, batch):
        captioner, answerer = head_of().eval(), head_of(target="answers").eval()
        assert (captioner.targets, answerer.targets) == (("captions",), ("answer_text",))
        answerer.load_state_dict(captioner.state_dict())
        both = Batch({}, {"answer_text": batch.targets["captions"]}, list("abcd"))
        assert answerer(streams, both).loss.item() == captioner(streams, batch).loss.item()
        assert answerer(streams, batch).loss is None
        assert captioner(streams, both).loss is None

    def test_figures_and_rows(self):
        predicted = [TestEvaluate().predicted(*tokens) for tokens in ([8], [5, 6, 7], [6])]
        evaluation = head_of(target="answers").evaluate(predicted, self.samples, Words())
        dog, ball, red = evaluation.rows
        assert [row["prediction"] for row in evaluation.rows] == ["dog", "a red ball", "red"]
        assert dog["answers"] == {"a dog": 9.0, "cat": 1.0}
        assert dog["scores"] == ball["scores"] == {"accuracy": 1.0, "exact_match": 1.0}
        assert red["scores"] == {"accuracy": 0.0, "exact_match": 0.0}
        assert red["score"] == -0.5
        figures = evaluation.scores.metrics()
        assert figures == {"accuracy": pytest.approx(2 / 3), "exact_match": pytest.approx(2 / 3)}

    def test_there_is_nothing_else_to_say(self):
        with raises(ValueError, "target='answer': ", "captions or answers"):
            head_of(target="answer")


def inputs_read(head, streams, batch):
    """The input tokens that the decoder is given in training."""
    found = []
    hook = head.decoder.register_forward_pre_hook(lambda _, args: found.append(args[0]))
    head(streams, batch)
    hook.remove()
    return found[0]


def whole_batch(progress):
    """Captions of 7, 4 and 3 tokens, and none, at a share of the training."""
    target = torch.randint(5, VOCAB, (4, 7))
    for row, length in enumerate([7, 4, 3, 0]):
        target[row, length:] = IGNORE_INDEX
    target[:, 0] = torch.where(target[:, 0] == IGNORE_INDEX, IGNORE_INDEX, BOS)
    return Batch({}, {"captions": target}, list("abcd"), progress=torch.tensor(progress))


def test_word_dropout_goes_from_the_first_to_the_last_probability(streams):
    """Only words become BOS, which then are as many as the probability says."""
    head = head_of(word_dropout=[0.0, 0.8]).train()
    for progress in (0.0, 0.5, 1.0):
        batch = whole_batch(progress)
        plain = batch.targets["captions"][:, :-1]
        shares = []
        for step in range(200):
            batch.keys = torch.arange(4) + 10 * step
            found = inputs_read(head, streams, batch)
            changed = found != plain
            assert (found[changed] == BOS).all()
            assert not changed[:, 0].any()
            assert not changed[plain == IGNORE_INDEX].any()
            shares.append(changed.sum().item() / (plain[:, 1:] != IGNORE_INDEX).sum().item())
        assert sum(shares) / 200 == pytest.approx(0.8 * progress, abs=0.03)
    assert torch.equal(inputs_read(head.eval(), streams, batch), plain)


def test_dropped_words_do_not_depend_on_the_batch(streams):
    """Nor on its longest text, with one caption per sample or several."""
    head = head_of(word_dropout=0.5).train()
    batch = whole_batch(0.3)
    for target in (
        batch.targets["captions"],
        torch.stack([batch.targets["captions"], batch.targets["captions"].flip(1).abs() % 7], 1),
    ):
        batch = Batch({}, {"captions": target}, list("abcd"), progress=batch.progress)
        together = inputs_read(head, streams, batch).view(4, -1, 6)
        one = {name: Tokens(s.x[1:2], s.mask[1:2]) for name, s in streams.items()}
        short = Batch({}, {"captions": target[1:2, ..., :5]}, ["b"], progress=batch.progress)
        assert torch.equal(inputs_read(head, one, short), together[1, :, :4])


@pytest.mark.parametrize("value", [1.0, -0.1, [0.1], [0.0, 0.5, 0.2], [0.1, 1.5]])
def test_word_dropout_is_one_probability_or_two(value):
    with raises(ValueError, "word_dropout=", "[first, last]"):
        head_of(word_dropout=value)
