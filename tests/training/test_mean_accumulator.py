import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.errors import CheckpointError
from mmtx_cli.training.mean_accumulator import MeanAccumulator

RECORDS = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(-1e3, 1e3, width=32), st.integers(0, 99)),
    max_size=20,
)


def reread(states):
    """What a checkpoint gives back."""
    file = io.BytesIO()
    torch.save(states, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@given(RECORDS, RECORDS)
def test_an_interruption_changes_no_mean(before, after):
    whole, first, second = MeanAccumulator(), MeanAccumulator(), MeanAccumulator()
    for name, value, count in before:
        whole.add(name, torch.tensor(value), count)
        first.add(name, torch.tensor(value), torch.tensor(count))
    second.load_state(reread(first.state()))
    for name, value, count in after:
        whole.add(name, torch.tensor(value), count)
        second.add(name, torch.tensor(value), count)
    found, expected = second.means(), whole.means()
    assert found == expected
    assert [*found] == [*expected]


def test_of_an_earlier_version():
    tally = MeanAccumulator()
    tally.load_state(None)
    assert tally.means() == {}


@pytest.mark.parametrize(
    "states",
    [{}, [3], [{"a": 1.0}], [{3: torch.ones(1, 2)}], [{"a": torch.ones(2)}],
     [{"a": torch.ones(1, 2, dtype=torch.long)}]],
)  # fmt: skip
def test_what_is_no_record(states):
    with pytest.raises(CheckpointError, match="train_tally"):
        MeanAccumulator().load_state(states)


def test_other_processes_than_before():
    """The first has the records of all."""
    tally = MeanAccumulator()
    tally.load_state([{"a": torch.tensor([[1.0, 1.0]])}, {"a": torch.tensor([[4.0, 2.0]])}])
    assert tally.means() == {"a": 3.0}
