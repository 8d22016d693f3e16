import pytest
import torch
from hypothesis import settings

# not in conftest files of their folders: pytest 9.1 loses the fixtures of these where a folder's
# files are given before and after a file of the folder above it (pytest-dev/pytest#14635)
pytest_plugins = ["tests.integration.fixtures", "tests.report.fixtures"]

# models are tiny and tests run side by side: threads would only wait for each other
torch.set_num_threads(1)
settings.register_profile("mmtx", deadline=None, max_examples=40)
settings.load_profile("mmtx")


@pytest.fixture(autouse=True)
def _seeded():
    """Each test draws the same numbers, whatever ran before it."""
    torch.manual_seed(0)
