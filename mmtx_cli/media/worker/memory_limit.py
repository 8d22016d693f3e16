"""A bound on the memory of this process, which the system enforces, where it is Linux."""

import re
import sys

_DATA = re.compile(r"^VmData:\s+(\d+) kB", re.MULTILINE)


def limit_memory(more: int) -> bool:
    """Let this process allocate ``more`` bytes beyond what it has; beyond that, allocating fails.

    RLIMIT_DATA counts every private writable mapping since Linux 4.7, files that are mapped to be
    read not at all. False where the system has no such limit.
    """
    if sys.platform != "linux":
        return False
    import resource

    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            found = _DATA.search(file.read())
        if found is None:
            return False
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        wanted = 1024 * int(found[1]) + more
        given = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min([wanted, *given]), hard))
    except (OSError, ValueError):
        return False
    return True


def is_out_of_memory(error: BaseException) -> bool:
    """Does an error say that allocating failed? PyTorch has no error of its own for that."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "DefaultCPUAllocator" in text or "not enough memory" in text
    )
