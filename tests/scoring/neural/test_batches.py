import numpy as np
import pytest

from mmtx_cli.errors import ConfigError
from mmtx_cli.scoring.neural.batches import encode
from tests.messages import raises

TEXTS = ["bb", "a", "cccc", "bb", "ddd", "a", "eeeee"]


def vectors(batch):
    return np.array([[len(text), 1, ord(text[0]) - 96] for text in batch], np.float64)


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_each_different_text_is_encoded_once_with_those_of_its_length(batch_size):
    batches = []

    def recorded(batch):
        batches.append(batch)
        return vectors(batch)

    found = encode(TEXTS, lambda x: [len(t) for t in x], recorded, batch_size, "texts")
    assert [text for batch in batches for text in batch] == ["eeeee", "cccc", "ddd", "bb", "a"]
    assert max(map(len, batches)) <= batch_size
    expected = vectors(TEXTS)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found.unit[found.rows(TEXTS)], expected, rtol=1e-6)


def test_values_that_are_not_finite_are_refused():
    with raises(ConfigError, "texts: ", "not finite"):
        encode(["a"], lambda x: [1], lambda x: np.array([[np.nan]]), 2, "texts")
