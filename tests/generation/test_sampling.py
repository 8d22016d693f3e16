import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.counter_rng.tensors import uniform
from mmtx_cli.generation.rowwise import Sampling
from tests.generation.toy import EOS, Table, generated, limits, log_softmax


def naive(table, key, number, max_length, temperature=1.0, top_k=None, top_p=None, min_p=None):
    """Samples by the cumulative distribution, restricted in plain lists."""
    random = uniform(torch.tensor([key]), max_length - 1, f"text {number}")[0].tolist()
    text = ()
    while EOS not in text and len(text) < max_length - 1:
        p = np.exp(log_softmax(table.logits(text) / temperature))
        order = np.argsort(-p, kind="stable")
        kept = list(order if top_k is None else order[:top_k])
        if top_p is not None:
            q, total, chosen = p[kept] / p[kept].sum(), 0.0, []
            for token, share in zip(kept, q, strict=True):
                if chosen and total >= top_p:
                    break
                chosen.append(token)
                total += share
            kept = chosen
        if min_p is not None:
            kept = [token for token in kept if p[token] >= min_p * p.max()]
        cumulative = np.cumsum([p[t] if t in kept else 0.0 for t in range(len(p))])
        text += (int(np.searchsorted(cumulative, random[len(text)] * cumulative[-1], "right")),)
    return text if EOS in text else (*text, EOS)


@given(
    seed=st.integers(0, 10_000),
    texts=st.integers(1, 3),
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    top_k=st.sampled_from([None, 1, 3, 50]),
    top_p=st.sampled_from([None, 0.3, 0.8, 1.0]),
    min_p=st.sampled_from([None, 0.2]),
)
def test_equals_sampling_in_lists(seed, texts, temperature, top_k, top_p, min_p):
    own = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "min_p": min_p}
    method = Sampling(limits(8), num_texts=texts, **own)
    tables = [Table(seed + i, 6) for i in range(2)]
    keys = torch.tensor([seed, seed + 7])
    for table, key, found in zip(
        tables, keys, generated(tables, method, keys=keys)[0], strict=True
    ):
        wanted = [naive(table, int(key), i, 8, **own) for i in range(texts)]
        assert sorted(text for text, *_ in found) == sorted(wanted)
        finished = [score for text, _, score in found if len(text) < 8]
        assert finished == sorted(finished, reverse=True)
        for text, _, score in found:
            last = min(len(text), 7)
            assert score == pytest.approx(table.total(text[:last]) / last, abs=1e-5)


def test_tokens_have_their_probabilities():
    """Of 20,000 inputs with the same distribution, within five standard deviations."""
    table, count = Table(3, 6), 20_000
    found, _ = generated([table] * count, Sampling(limits(3)))
    first = np.array([text[0] for ((text, *_),) in found])
    p = np.exp(table.log_probabilities(()))
    shares = np.array([(first == token).mean() for token in range(6)])
    assert (np.abs(shares - p) < 5 * np.sqrt(p * (1 - p) / count)).all()
    after = np.array([text[1] for ((text, *_),) in found if text[0] == 0])
    p = np.exp(table.log_probabilities((0,)))
    shares = np.array([(after == token).mean() for token in range(6)])
    assert (np.abs(shares - p) < 5 * np.sqrt(p * (1 - p) / len(after))).all()
