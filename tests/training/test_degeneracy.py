from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.training.degeneracy import degeneracy

TEXTS = st.lists(st.lists(st.integers(0, 5), max_size=8), min_size=1, max_size=20)


@given(texts=TEXTS)
def test_figures(texts):
    found = degeneracy(texts, texts)
    distinct = {tuple(text) for text in texts}
    assert found.distinct * len(texts) == pytest.approx(len(distinct))
    assert found.most_frequent == max(texts.count(list(text)) for text in distinct) / len(texts)
    repeated = 0.0
    for text in texts:
        before = []
        for pair in pairwise(text):
            repeated += (pair in before) / (len(text) - 1)
            before.append(pair)
    assert found.repetition == pytest.approx(repeated / len(texts))
    assert found.vocabulary == len({word for text in texts for word in text})
    assert found.fault() is None or found.repetition > 0.5, "the references are as frequent"


def several(*texts):
    return [[ord(letter) for letter in text] for text in texts]


DIFFERENT = several(*"abcdefghij")


@pytest.mark.parametrize(
    ("captions", "references", "word"),
    [
        (several(*"abcdefghij"), DIFFERENT, None),
        (several(*"aaaaabcdef"), DIFFERENT, None),
        (several(*"aaaaaabcde"), DIFFERENT, "60% of 10 validation samples"),
        (several(*"aaaaaabcde"), several(*"aaaaaabcde"), None),
        (several(*"aaaaaaa"), several(*"abcdefg"), None),
        (several(*["abababab" + x for x in "abcdefghij"]), DIFFERENT, "repeat themselves"),
        (several(*["abcdefg" + x for x in "abcdefghij"]), DIFFERENT, None),
    ],
)
def test_faults(captions, references, word):
    fault = degeneracy(captions, references).fault()
    assert (fault is None) == (word is None)
    assert word is None or word in fault
