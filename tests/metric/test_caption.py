import shutil

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from mmtx_cli.errors import DataError
from mmtx_cli.metric.caption import caption_scores, token_scores
from mmtx_cli.metric.ptb.tokenize import tokenize
from tests.messages import raises
from tests.metric.corpora import WORDS, flickr_groups, random_tokens

NAMES = ["bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"]
TOKENS = st.lists(st.sampled_from(WORDS[:6]), max_size=9)
SAMPLES = st.lists(st.tuples(TOKENS, st.lists(TOKENS, min_size=1, max_size=4)), min_size=1)


def theirs(candidates, references):
    """pycocoevalcap's figures and scores of each sample, from captions as strings."""
    bleu, bleus = Bleu(4).compute_score(references, candidates, verbose=0)
    rouge, rouges = Rouge().compute_score(references, candidates)
    cider, ciders = Cider().compute_score(references, candidates)
    return [*bleu, rouge, cider], [*bleus, rouges, ciders]


def joined(candidates, references):
    """Captions as pycocoevalcap takes them."""
    return (
        {i: [" ".join(tokens)] for i, tokens in enumerate(candidates)},
        {i: [" ".join(tokens) for tokens in own] for i, own in enumerate(references)},
    )


def assert_same(scores, expected, tolerance):
    """CIDEr-D is left out where all its weights are 0, and so it is in the other program."""
    figures, per_sample = expected
    if "cider" not in scores.per_sample:
        assert figures.pop() == 0
        assert not any(per_sample.pop())
    assert list(scores.per_sample) == NAMES[: len(figures)]
    assert list(scores.metrics().values()) == pytest.approx(figures, rel=0, abs=tolerance)
    for name, values in zip(scores.per_sample, per_sample, strict=True):
        np.testing.assert_allclose(scores.per_sample[name], values, rtol=0, atol=tolerance)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("num_samples", [1, 2, 40, 250])
def test_equals_pycocoevalcap_on_random_captions(num_samples, seed):
    candidates, references = random_tokens(num_samples, seed)
    expected = theirs(*joined(candidates, references))
    assert_same(token_scores(candidates, references), expected, 1e-9)


@given(SAMPLES)
@settings(max_examples=150, deadline=None)
def test_equals_pycocoevalcap_on_any_captions(samples):
    candidates, references = map(list, zip(*samples, strict=True))
    assume(any(tokens for own in references for tokens in own))  # pycocoevalcap fails on that
    expected = theirs(*joined(candidates, references))
    assert_same(token_scores(candidates, references), expected, 1e-9)


def test_equals_pycocoevalcap_on_long_captions():
    candidates, references = random_tokens(6, seed=3, longest=400)
    expected = theirs(*joined(candidates, references))
    assert_same(token_scores(candidates, references), expected, 1e-9)


def test_equals_pycocoevalcap_on_tokens_with_a_space_in_them():
    candidates = [tokenize("1 1/2 cups of tea"), tokenize("a <b c> tag")]
    references = [[tokenize("1 1/2 cups")], [tokenize("a <b c> tag"), tokenize("tea")]]
    assert any("\xa0" in token for token in candidates[0])
    expected = theirs(*joined(candidates, references))
    assert_same(token_scores(candidates, references), expected, 1e-9)


@pytest.mark.skipif(shutil.which("java") is None, reason="no java on the PATH")
def test_equals_the_coco_evaluation_with_its_tokenizer_on_real_captions():
    groups = {name: own for name, own in flickr_groups().items() if len(own) > 1}
    candidates = {name: [{"caption": own[0]}] for name, own in groups.items()}
    references = {name: [{"caption": c} for c in own[1:]] for name, own in groups.items()}
    tokenizer = PTBTokenizer()
    expected = theirs(tokenizer.tokenize(candidates), tokenizer.tokenize(references))
    scores = caption_scores(
        list(groups), [own[0] for own in groups.values()], [own[1:] for own in groups.values()]
    )
    assert len(scores) >= 500
    assert_same(scores, expected, 1e-6)


def test_a_perfect_caption_scores_one():
    captions = ["a man rides a red bicycle", "two dogs run over the wet grass"]
    scores = caption_scores(["1", "2"], captions, [[captions[0]], ["a cat", captions[1]]])
    for name in NAMES[:-1]:
        assert scores.per_sample[name] == pytest.approx([1, 1], abs=1e-8)
        assert scores.metrics()[name] == pytest.approx(1, abs=1e-8)
    assert scores.per_sample["cider"][0] == pytest.approx(10)


@pytest.mark.parametrize(
    ("references", "defined"),
    [
        ([["a dog runs"]], False),
        ([["a dog runs", "a cat"]], False),
        ([["a dog runs"]] * 3, False),
        ([["a dog", "a cat"], ["a cat", "a dog"]], False),
        ([["a dog", "a cat"], ["a cat"]], True),
        ([["a dog runs"], ["a dog runs"], ["a dog runs here"]], True),
    ],
)
def test_cider_is_left_out_where_it_has_no_weights(references, defined):
    ids = [str(i) for i in range(len(references))]
    scores = caption_scores(ids, [own[0] for own in references], references)
    assert ("cider" in scores.metrics()) == defined
    assert scores.metrics()["bleu_1"] == pytest.approx(1)


def test_an_empty_candidate_scores_zero():
    scores = caption_scores(["1", "2"], ["", "a dog"], [["a dog runs"], ["a dog"]])
    assert [scores.per_sample[name][0] for name in NAMES] == [0] * 6


def test_names_every_id_without_references():
    references = [["a dog"], [], ["a cat", " "]] + [[]] * 30
    with raises(DataError, "32 of 33 samples", ": s1, s2, s3, ", " s20 …;"):
        caption_scores([f"s{i}" for i in range(33)], ["a dog"] * 33, references)


@given(SAMPLES, st.randoms())
@settings(max_examples=50, deadline=None)
def test_the_order_of_samples_and_references_does_not_matter(samples, draw):
    order = list(range(len(samples)))
    draw.shuffle(order)
    one = token_scores([s[0] for s in samples], [s[1] for s in samples])
    other = token_scores([samples[i][0] for i in order], [samples[i][1][::-1] for i in order])
    assert other.metrics() == pytest.approx(one.metrics(), abs=1e-9)
    assert other.per_sample.keys() == one.per_sample.keys()
    for name in one.per_sample:
        np.testing.assert_allclose(other.per_sample[name], one.per_sample[name][order], atol=1e-9)


@given(SAMPLES)
@settings(max_examples=50, deadline=None)
def test_scores_keep_their_bounds(samples):
    scores = token_scores([s[0] for s in samples], [s[1] for s in samples])
    for name, values in scores.per_sample.items():
        assert (values >= 0).all()
        assert (values <= (10 if name == "cider" else 1) + 1e-9).all()


def test_no_samples_are_no_figures():
    with raises(ValueError, "sample"):
        caption_scores([], [], []).metrics()


def test_the_example_of_aac_metrics():
    """Its README states BLEU-1 and CIDEr-D of these captions, rounded to four digits."""
    scores = caption_scores(
        ["a", "b"],
        ["a man is speaking", "rain falls"],
        [
            [
                "a man speaks.",
                "someone speaks.",
                "a man is speaking while a bird is chirping in the background",
            ],
            ["rain is falling hard on a surface"],
        ],
    )
    metrics = scores.metrics()
    assert metrics["bleu_1"] == pytest.approx(0.4278, abs=5e-5)
    assert metrics["cider"] == pytest.approx(0.9614, abs=5e-5)
    assert scores.per_sample["cider"] == pytest.approx([1.3641, 0.5587], abs=5e-5)


def test_languages_without_spaces_are_compared_by_characters():
    references = [["一只狗在草地上奔跑"], ["两个人骑着红色的自行车"]]
    found = caption_scores(["1", "2"], ["一只狗在跑", "人骑自行车"], references)
    parts = [[list(text) for text in own] for own in references]
    expected = token_scores([list("一只狗在跑"), list("人骑自行车")], parts)
    assert found.metrics() == expected.metrics()
    assert 0.2 < found.metrics()["bleu_1"] < 1
    # Latin letters: the tokens of the COCO evaluation, as ever
    english = caption_scores(["1", "2"], ["A dog.", "a man"], [["a dog"], ["A man!"]])
    assert english.metrics()["bleu_1"] == pytest.approx(1)
