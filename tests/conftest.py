import pytest
import torch
from hypothesis import settings

settings.register_profile("mmtx", deadline=None, max_examples=40)
settings.load_profile("mmtx")


@pytest.fixture(autouse=True)
def _seeded():
    """Each test draws the same numbers, whatever ran before it."""
    torch.manual_seed(0)
