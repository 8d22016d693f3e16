"""Which errors mean that memory ran out."""

import re

_MESSAGE = re.compile(
    r"DefaultCPUAllocator: can't allocate memory|DefaultCPUAllocator: not enough memory"
    r"|out of memory|cannot allocate memory|CUBLAS_STATUS_ALLOC_FAILED|std::bad_alloc",
    re.I,
)


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error, or one that caused it, says that memory ran out."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        if isinstance(current, MemoryError) or (
            isinstance(current, RuntimeError | OSError) and _MESSAGE.search(str(current))
        ):
            return True
        current = current.__cause__ or current.__context__
    return False
