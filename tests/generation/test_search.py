"""The loop: finished inputs leave the batch, and waiting ones take their places."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.generation.beam import BeamSearch
from mmtx_cli.generation.contrastive import ContrastiveSearch
from mmtx_cli.generation.rowwise import Greedy, Sampling
from mmtx_cli.generation.rules import NoRepeatNgram
from tests.generation.toy import Table, generated, limits

METHODS = {
    "greedy": lambda n: Greedy(limits(n), 1.0),
    "beam": lambda n: BeamSearch(limits(n), 3, num_texts=2),
    "diverse": lambda n: BeamSearch(limits(n), 4, groups=2, diversity_penalty=0.5, num_texts=2),
    "sampling": lambda n: Sampling(limits(n), num_texts=2),
    "contrastive": lambda n: ContrastiveSearch(limits(n), 0.4, 3),
    "rule": lambda n: BeamSearch(limits(n), 3, rules=[NoRepeatNgram(2)]),
}


@pytest.mark.parametrize("name", METHODS)
@given(
    seed=st.integers(0, 10_000),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    capacity=st.integers(1, 7) | st.none(),
    eos_bias=st.sampled_from([-1.0, 0.5]),
    takes=st.sampled_from([None, True, False]),
)
def test_an_input_is_generated_as_if_it_were_alone(name, seed, sizes, capacity, eos_bias, takes):
    method = METHODS[name](9)
    tables = [Table(seed + i, 6, eos_bias) for i in range(sum(sizes))]
    keys = torch.arange(len(tables)) + seed
    together, _ = generated(tables, method, capacity, keys, sizes, takes)
    for i, table in enumerate(tables):
        (alone,), _ = generated([table], method, keys=keys[i : i + 1])
        assert together[i] == alone


def test_waiting_inputs_take_the_places_of_finished_ones():
    tables = [Table(i, 6, eos_bias=0.5) for i in range(60)]
    method = Greedy(limits(20), 1.0)
    _, alone = generated(tables, method, sizes=[10] * 6, takes=None)
    _, shared = generated(tables, method, capacity=10, sizes=[10] * 6)
    assert max(shared.sizes) == 10
    assert len(shared.sizes) < 0.7 * len(alone.sizes)


def test_finished_inputs_cost_nothing():
    tables = [Table(i, 6, eos_bias=0.5) for i in range(60)]
    (found, decoder) = generated(tables, Greedy(limits(30), 1.0))
    needed = sum(len(text) for ((text, *_),) in found)
    assert sum(decoder.sizes) < 1.34 * needed
