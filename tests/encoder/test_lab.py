"""Every encoder that trains from scratch solves the tasks of its modality (docs/results.md)."""

import pytest

from mmtx_cli.synthetic.encoder_lab.make import TASKS
from tests.encoder.lab import SMALL, Lab

SEEDS = (1, 2, 3)
CELLS = [(t, e) for t in TASKS for e in SMALL if e.startswith(TASKS[t].modality)]
REQUIRED = 0.95
QUICK = [
    ("text_word_order", "text/transformer"),
]
"""Cells that take seconds."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("task", "encoder"), CELLS, ids=str)
def test_solves(lab, task, encoder, seed):
    assert lab.accuracy(task, encoder, seed)[0] >= REQUIRED


@pytest.mark.parametrize(("task", "encoder"), QUICK, ids=str)
def test_solves_within_seconds(tmp_path, task, encoder):
    assert Lab(tmp_path, num=600).accuracy(task, encoder, seed=1, steps=300)[0] >= REQUIRED
