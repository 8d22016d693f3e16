import pytest
import torch

from mmtx_cli.planning.out_of_memory import is_out_of_memory


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: "
            "you tried to allocate 4000 bytes. Error code 12"
        ),
        OSError(12, "Cannot allocate memory"),
    ],
)
def test_memory_ran_out(error: Exception):
    assert is_out_of_memory(error)


def test_an_error_that_memory_caused():
    error = RuntimeError("a wrapper")
    error.__cause__ = MemoryError()
    assert is_out_of_memory(error)


def test_a_real_allocation():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_other_errors():
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
    assert not is_out_of_memory(ValueError("out of memory"))
