from collections import defaultdict
from zlib import crc32

import pytest
import torch
from hypothesis import settings

# not in conftest files of their folders: pytest 9.1 loses the fixtures of these where a folder's
# files are given before and after a file of the folder above it (pytest-dev/pytest#14635)
pytest_plugins = [
    "tests.data.shards.fixtures",
    "tests.integration.fixtures",
    "tests.report.fixtures",
    "tests.server.fixtures",
    "tests.survival.fixtures",
]

# models are tiny and tests run side by side: threads would only wait for each other
torch.set_num_threads(1)
settings.register_profile("mmtx", deadline=None, max_examples=40)
settings.load_profile("mmtx")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of the cases of a test that is marked ``quick_cases(n)``, leave n quick; the rest are slow.

    Which they are depends on their names alone.
    """
    cases = defaultdict(list)
    for item in items:
        if (mark := item.get_closest_marker("quick_cases")) is not None:
            cases[item.nodeid.partition("[")[0], mark.args[0]].append(item)
    for (_, count), found in cases.items():
        for item in sorted(found, key=lambda item: crc32(item.nodeid.encode()))[count:]:
            item.add_marker("slow")


@pytest.fixture(autouse=True)
def _seeded():
    """Each test draws the same numbers, whatever ran before it."""
    torch.manual_seed(0)
