"""Freed memory is kept for later tensors."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
from mmtx_cli.io.allocator import keep_freed_memory
torch.set_num_threads(1)

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.empty(8 * 2**20).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
mapped = faults()
# before memory was kept: what is kept already may be used again
keep_freed_memory()
keep_freed_memory(False)
restored = faults()
keep_freed_memory()
faults()
print(mapped, restored, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="settings of the GNU C library")
@pytest.mark.parametrize("chosen", [False, True])
def test_pages_are_not_mapped_anew(chosen):
    env = {"MALLOC_ARENA_MAX": "8"} if chosen else {}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=env, capture_output=True, text=True, check=True
    )
    mapped, restored, kept = map(int, done.stdout.split())
    assert mapped > 0
    assert restored * 2 > mapped
    if chosen:  # settings of the environment have priority
        assert kept * 2 > mapped
    else:
        assert kept * 10 < mapped
