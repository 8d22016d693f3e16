import numpy as np
import pytest
from scipy.stats import chi2

from mmtx_cli.counter_rng.tensors import id_keys
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.text.columns import TextColumn, column_texts, column_weights
from mmtx_cli.data.text.tokenizer import Tokenizer
from tests.data.small import LENGTH, tokenizer
from tests.messages import mentions

TEXTS = [("a red ball", "a dog"), (), ("the cat sits on the mat now",), ("a", "b", "c", "d")]


@pytest.fixture(scope="module")
def column():
    return TextColumn(TEXTS, tokenizer(), LENGTH)


def test_each_text_where_it_belongs(column):
    wanted = tokenizer().encode([text for several in TEXTS for text in several], LENGTH)
    found = [
        column.get(row, which).tolist()
        for row, several in enumerate(TEXTS)
        for which in range(len(several))
    ]
    assert found == wanted
    assert [column.count(row) for row in range(4)] == [2, 0, 1, 4]


def test_lengths(column):
    which = np.array([1, 0, 0, 3])
    wanted = [len(column.get(0, 1)), 0, len(column.get(2, 0)), len(column.get(3, 3))]
    assert column.lengths(which).tolist() == wanted


def test_no_text_at_all():
    empty = TextColumn([(), ()], tokenizer(), LENGTH)
    keys = id_keys("ab")
    assert empty.drawn(0, 0, keys).tolist() == [0, 0]
    assert empty.lengths(np.zeros(2, dtype=np.int64)).tolist() == [0, 0]


@pytest.mark.slow
def test_draws_are_even():
    num = 6000
    column = TextColumn([("a", "b", "c", "d", "e")] * num, tokenizer(), LENGTH)
    keys = id_keys(str(i) for i in range(num))
    drawn = np.stack([column.drawn(3, epoch, keys) for epoch in range(4)])
    for epoch in drawn:
        off = ((np.bincount(epoch, minlength=5) - num / 5) ** 2 / (num / 5)).sum()
        assert off < chi2.ppf(0.9999, 4)
    # and one epoch says nothing of the next
    repeated = (drawn[0] == drawn[1]).mean()
    assert abs(repeated - 0.2) < 4 * np.sqrt(0.2 * 0.8 / num)


def test_draws_depend_on_seed_epoch_and_id_alone():
    names = [str(i) for i in range(50)]
    order = np.random.default_rng(0).permutation(50)
    texts = [("a", "b", "c")] * 50
    column, other = TextColumn(texts, tokenizer(), LENGTH), TextColumn(texts, tokenizer(), LENGTH)
    straight = column.drawn(1, 2, id_keys(names))
    turned = other.drawn(1, 2, id_keys(names[i] for i in order))
    assert np.array_equal(turned, straight[order])
    assert not np.array_equal(column.drawn(1, 3, id_keys(names)), straight)
    assert not np.array_equal(column.drawn(2, 2, id_keys(names)), straight)


def test_which_column():
    samples = [
        Sample("a", "train", text="what?", captions=("x", "y")),
        Sample("b", "train", text=""),
        Sample("c", "train"),
    ]
    assert column_texts(samples, "text") == [("what?",), (), ()]
    assert column_texts(samples, "captions") == [("x", "y"), (), ()]


class TestAnswers:
    samples = [
        Sample("a", "train", answers={"Two": 3.0, "three": 4.0, "2": 2.0}),
        Sample("b", "train"),
        Sample("c", "train", answers={"no": 0.25, "yes": 0.75}),
    ]

    def test_the_likeliest_is_the_first(self):
        assert column_texts(self.samples, "answer_text") == [("2", "3"), (), ("yes", "no")]
        assert column_weights(self.samples, "answer_text") == [(5.0, 4.0), (), (0.75, 0.25)]
        assert column_weights(self.samples, "captions") is None

    def test_are_drawn_by_their_weights(self):
        num = 4000
        answers = {"never": 1e-12, "red": 6.0, "blue": 3.0, "green": 1.0}
        samples = [Sample(str(i), "train", answers=answers if i % 2 else {}) for i in range(num)]
        texts, weights = (f(samples, "answer_text") for f in (column_texts, column_weights))
        column = TextColumn(texts, tokenizer(), LENGTH, weights)
        keys = id_keys(str(i) for i in range(num))
        for epoch in range(3):
            drawn = column.drawn(3, epoch, keys)
            assert not drawn[::2].any()  # nothing to draw from
            count = np.bincount(drawn[1::2], minlength=4)
            wanted = np.array([0.6, 0.3, 0.1]) * num / 2
            assert count[3] == 0
            assert ((count[:3] - wanted) ** 2 / wanted).sum() < chi2.ppf(0.9999, 2)

    def test_one_answer_is_always_drawn(self):
        column = TextColumn([("yes",)] * 50, tokenizer(), LENGTH, [(1.0,)] * 50)
        assert not column.drawn(0, 0, id_keys(str(i) for i in range(50))).any()

    def test_draws_depend_on_seed_epoch_and_id_alone(self):
        order = np.random.default_rng(0).permutation(50)
        names = [str(i) for i in range(50)]
        texts = [("a", "b", "c")[: 1 + i % 3] for i in range(50)]
        weights = [(3.0, 2.0, 1.5)[: 1 + i % 3] for i in range(50)]
        column = TextColumn(texts, tokenizer(), LENGTH, weights)
        other = TextColumn(
            [texts[i] for i in order], tokenizer(), LENGTH, [weights[i] for i in order]
        )
        here = column.drawn(1, 2, id_keys(names))
        there = other.drawn(1, 2, id_keys(names[i] for i in order))
        assert here[order].tolist() == there.tolist()
        assert here.tolist() != column.drawn(2, 2, id_keys(names)).tolist()
        assert here.tolist() != column.drawn(1, 3, id_keys(names)).tolist()


@pytest.mark.parametrize(
    ("texts", "max_length", "cut", "longest"),
    [
        ([("a b c", "a"), (), ("a b",)], 5, 0, 5),
        ([("a b c", "a"), (), ("a b",)], 4, 1, 5),
        ([("a b c d e f",), (" a" * 40 + " ",)], 6, 2, 42),
        ([(), ()], 4, 0, 0),
    ],
)
def test_texts_that_are_cut_are_counted(texts, max_length, cut, longest):
    words = ["a", "b", "c", "d", "e", "f"]
    tokenizer = Tokenizer.train([" ".join(words)] * 9, 400)
    column = TextColumn(texts, tokenizer, max_length)
    assert (column.num_cut, column.longest) == (cut, longest)
    message = column.truncation_warning("captions")
    assert (message is None) == (cut == 0)
    if message:
        count = sum(map(len, texts))
        mentions(message, f"{cut} of {count} captions", f"max_length={max_length} ", f" {longest}")
