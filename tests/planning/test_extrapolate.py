import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmtx_cli.planning.extrapolate import extrapolated

COUNTS = st.integers(1, 10**6)


def figures(size: int, fixed: int, each: int, epochs: bool = True) -> dict:
    """What a batch of a size takes that grows linearly."""
    return {
        "batch_size": size,
        "parts": {"weights": fixed // 2},
        "peak": {"bytes": fixed + each * size, "total": None},
        "activations": each * size,
        "step": {"busy": 1e-3 * each * size, "wait": 0.0, "lasting": 1e-3 * each * size},
        "loader": 2e-3 * size,
        "steps": 6400 // size,
        "epoch_batches": 640 // size,
        "counts_steps": not epochs,
    }


@given(COUNTS, COUNTS)
def test_what_is_linear_is_found(fixed: int, each: int):
    found = extrapolated([figures(32, fixed, each), figures(16, fixed, each)], 128)
    whole = figures(128, fixed, each)
    assert found["peak"]["bytes"] == pytest.approx(whole["peak"]["bytes"], abs=2)
    assert found["activations"] == pytest.approx(whole["activations"], abs=2)
    assert found["step"]["busy"] == pytest.approx(whole["step"]["busy"])
    assert found["loader"] == pytest.approx(whole["loader"])
    assert (found["steps"], found["epoch_batches"]) == (50, 5)


def test_steps_that_are_counted_stay():
    tried = [figures(32, 1, 1, epochs=False), figures(16, 1, 1, epochs=False)]
    assert extrapolated(tried, 64)["steps"] == tried[0]["steps"]


def test_a_single_smaller_batch():
    found = extrapolated([figures(1, 100, 10)], 8)
    assert found["peak"]["bytes"] == 110 + 7 * (110 - 50)
