"""What is done about steps that would harm."""

import math
import re

import pytest

from mmtx_cli.errors import DivergenceError
from mmtx_cli.training.divergence import WARM, DivergenceGuard
from tests.messages import faults_mention, mentions


@pytest.mark.parametrize(
    ("loss", "norm", "parts"),
    [
        (math.nan, 1.0, ["loss ", " nan"]),
        (math.inf, 1.0, ["loss ", " inf"]),
        (2.0, math.nan, ["gradient ", "finite"]),
        (2.0, 1e9, None),
    ],
)
def test_what_is_no_number(loss, norm, parts):
    found = DivergenceGuard(0, None).fault(loss, norm)
    assert (found is None) == (parts is None)
    mentions(found, *(parts or ()))


def test_a_loss_that_leaps():
    guard = DivergenceGuard(0, 3.0)
    assert guard.fault(100.0, 1.0) is None  # too soon to tell
    for _ in range(10 * WARM):
        assert guard.fault(2.0, 1.0) is None
    assert re.search(r"\bloss\b.*\b2\b.*\b20\b", guard.fault(20.0, 1.0))
    assert guard.fault(5.0, 1.0) is None
    assert DivergenceGuard(0, None).fault(1e30, 1.0) is None


def test_a_leap_is_not_remembered():
    guard = DivergenceGuard(0, 3.0)
    for _ in range(WARM):
        guard.fault(1.0, 1.0)
    before = guard.state_dict()
    guard.fault(50.0, 1.0)
    assert guard.state_dict() == before


def test_so_many_are_left_out_and_no_more():
    guard = DivergenceGuard(2, None)
    ids = [f"row{i}" for i in range(30)]
    assert re.search(
        r"step 7: the loss is nan.*\(1 of .*2\)", guard.skip("the loss is nan", 7, ids)
    )
    guard.skip("the loss is nan", 8, ids)
    with pytest.raises(DivergenceError) as caught:
        guard.skip("the loss is nan", 9, ids)
    message = str(caught.value)
    parts = (
        "samples row0, row1, ",
        "row19, … (30)",
        "optimizer.lr",
        "trainer.max_skipped_steps=10",
    )
    faults_mention([message], ("step 9: the loss is nan", *parts))
    assert "row20" not in message


def test_the_state_is_restored():
    guard, other = DivergenceGuard(5, 2.0), DivergenceGuard(5, 2.0)
    for loss in (3.0, 2.0, 1.0):
        guard.fault(loss, 1.0)
    guard.skip("the loss is nan", 1, ["a"])
    other.load_state_dict(guard.state_dict())
    assert other.state_dict() == guard.state_dict()
    assert other.skipped == 1
