"""A memory limit for this process, enforced by the kernel (Linux only)."""

import re
import sys

_DATA = re.compile(r"^VmData:\s+(\d+) kB", re.MULTILINE)


def limit_memory(extra: int) -> bool:
    """Limit this process to ``extra`` bytes beyond its current memory; return False if unsupported.

    Since Linux 4.7, RLIMIT_DATA counts all private writable mappings, but not files mapped
    read-only.
    """
    if sys.platform != "linux":
        return False
    import resource

    try:
        with open("/proc/self/status", encoding="ascii", errors="replace") as file:
            match = _DATA.search(file.read())
        if match is None:
            return False
        soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
        target = 1024 * int(match[1]) + extra
        bounds = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
        resource.setrlimit(resource.RLIMIT_DATA, (min([target, *bounds]), hard))
    except (OSError, ValueError):
        return False
    return True


def is_out_of_memory(error: BaseException) -> bool:
    """Return True if an error means that an allocation failed; PyTorch's is a RuntimeError."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and (
        "DefaultCPUAllocator" in text or "not enough memory" in text
    )
