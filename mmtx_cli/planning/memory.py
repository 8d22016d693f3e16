"""Memory of this process and of this machine, in bytes; imports nothing heavy."""

import os
import re
import sys
from pathlib import Path

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_UNLIMITED = 2**60
"""A limit of at least this many bytes is none: version 1 of control groups has no other word."""


def high_water() -> int | None:
    """Return the most memory that this process has had since ``reset_high_water``, if known.

    Not that of ``getrusage``, which a process inherits from the one that started it.
    """
    return _status("VmHWM")


def resident() -> int | None:
    """Return the memory that this process has now, if known."""
    return _status("VmRSS")


def reset_high_water() -> bool:
    """Measure ``high_water`` anew from now on; return whether the system allows it."""
    try:
        (_PROC / "self" / "clear_refs").write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def available_memory(proc: Path = _PROC, cgroups: Path = _CGROUPS) -> int | None:
    """Return the memory that processes can still get, of the machine or of their control group.

    Args:
        proc: Folder of the kernel's information.
        cgroups: Folder of the control groups.
    """
    found = [_machine(proc), *_group_limits(proc, cgroups), _limit_of_process()]
    known = [value for value in found if value is not None]
    return max(0, min(known)) if known else None


def _machine(proc: Path) -> int | None:
    """Return what the machine has available."""
    try:
        text = (proc / "meminfo").read_text(encoding="ascii")
    except OSError:
        return _physical()
    match = re.search(r"^MemAvailable:\s+(\d+) kB", text, re.M)
    return int(match[1]) * 1024 if match else None


def _physical() -> int | None:
    """Return the memory of the machine, of which half is taken for available."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (ValueError, OSError, AttributeError):
        return None


def _group_limits(proc: Path, cgroups: Path) -> list[int | None]:
    """Return what the limits of this process's control groups, and those above them, leave."""
    try:
        lines = (proc / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    left: list[int | None] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        old = bool(controllers)
        base = cgroups / "memory" if old else cgroups
        names = (
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            if old
            else ("memory.max", "memory.current", "inactive_file")
        )
        folder = base / path.strip("/")
        # in a container the path may be that of the host: then only the root is visible
        folders = [f for f in (folder, *folder.parents) if f == base or base in f.parents]
        left += [_left(each, *names) for each in folders]
    return left


def _left(folder: Path, limit: str, usage: str, cache: str) -> int | None:
    """Return what is left of the limit of a control group; file caches can be freed.

    Args:
        folder: The group.
        limit: Name of the file with its limit.
        usage: Name of the file with its usage.
        cache: Name of the line in ``memory.stat`` with the caches that can be freed.
    """
    try:
        most = int((folder / limit).read_text(encoding="ascii"))
        used = int((folder / usage).read_text(encoding="ascii"))
        stat = (folder / "memory.stat").read_text(encoding="ascii")
    except (OSError, ValueError):  # "max": no limit
        return None
    match = re.search(rf"^{cache} (\d+)$", stat, re.M)
    return most - used + (int(match[1]) if match else 0) if most < _UNLIMITED else None


def _limit_of_process() -> int | None:
    """Return what the limits of this process (``ulimit -v``, ``ulimit -d``) leave."""
    try:
        import resource
    except ImportError:  # not available on Windows
        return None
    left = []
    for kind, used in ((resource.RLIMIT_AS, "VmSize"), (resource.RLIMIT_DATA, "VmData")):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            left.append(limit - (_status(used) or 0))
    return min(left, default=None)


def _status(name: str) -> int | None:
    """Return an entry of the status of this process."""
    try:
        text = (_PROC / "self" / "status").read_text(encoding="utf-8")
    except OSError:
        return None
    match = re.search(rf"^{name}:\s+(\d+) kB", text, re.M)
    return int(match[1]) * 1024 if match else None


def process_age() -> float:
    """Return the seconds since this process started; 0 if unknown."""
    if sys.platform != "linux":
        return 0.0
    try:
        fields = (_PROC / "self" / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        uptime = float((_PROC / "uptime").read_text(encoding="ascii").split()[0])
        return uptime - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return 0.0
