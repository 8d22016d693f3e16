"""Every encoder that trains from scratch solves the tasks of its modality (docs/results.md)."""

import pytest

from mmtx_cli.data.encoder_lab.make import TASKS
from tests.encoder.lab import SMALL, Lab

SEEDS = (1, 2, 3)
CELLS = [(t, e) for t in TASKS for e in SMALL if e.startswith(TASKS[t].modality)]
REQUIRED = 0.95
PRETRAINED = {"efficientnet_lite", "features", "huggingface", "pipeline", "timm", "torchvision"}
"""Encoders for weights or features that exist already; ``torchvision_vit`` is one of them, too."""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(("task", "encoder"), CELLS, ids=" ".join)
def test_solves(lab, task, encoder, seed):
    assert lab.accuracy(task, encoder, seed)[0] >= REQUIRED
