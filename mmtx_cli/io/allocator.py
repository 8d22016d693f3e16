"""Settings of the memory allocator of the GNU C library; imports nothing heavy."""

import ctypes
import os
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Parameters of ``mallopt`` (malloc.h)."""
LARGE = 2**30
DEFAULT = 128 * 2**10


def keep_freed_memory(keep: bool = True) -> None:
    """Keep freed memory for later tensors instead of returning it to the system.

    By default, each tensor of more than a few MB is mapped anew and unmapped when it is freed, and
    the kernel clears its pages each time, which takes a large part of the time of a model on the
    CPU. Settings of the environment (``MALLOC_*``, ``GLIBC_TUNABLES``) have priority.

    Args:
        keep: Whether to keep it; False restores the defaults.
    """
    chosen = any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ)
    if sys.platform != "linux" or chosen:
        return
    library = ctypes.CDLL(None)
    if not hasattr(library, "mallopt") or not hasattr(library, "gnu_get_libc_version"):
        return
    library.mallopt(MMAP_THRESHOLD, LARGE if keep else DEFAULT)
    library.mallopt(TRIM_THRESHOLD, LARGE if keep else DEFAULT)
