import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.generation.contrastive import ContrastiveSearch
from tests.generation.toy import EOS, Table, generated, limits, log_softmax


def naive(table, alpha, candidates, max_length):
    """Contrastive search in plain lists; the hidden states of the toy decoder are its logits."""

    def state(text):
        x = table.logits(text)
        return x / np.linalg.norm(x)

    text = ()
    while EOS not in text and len(text) < max_length - 1:
        p = np.exp(log_softmax(table.logits(text)))
        past = [state(text[:i]) for i in range(len(text) + 1)]
        best = max(
            np.argsort(-p)[:candidates],
            key=lambda token: (
                (1 - alpha) * p[token] - alpha * max(h @ state((*text, token)) for h in past)
            ),
        )
        text += (int(best),)
    return text if EOS in text else (*text, EOS)


@given(
    seed=st.integers(0, 10_000),
    alpha=st.sampled_from([0.0, 0.3, 0.6, 1.0]),
    candidates=st.integers(1, 5),
    max_length=st.integers(2, 9),
)
def test_equals_contrastive_search_in_lists(seed, alpha, candidates, max_length):
    tables = [Table(seed + i, 6) for i in range(3)]
    method = ContrastiveSearch(limits(max_length), alpha, candidates)
    for table, ((text, *_),) in zip(tables, generated(tables, method)[0], strict=True):
        assert text == naive(table, alpha, candidates, max_length)
