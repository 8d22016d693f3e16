"""The newest intact checkpoint beside a damaged one."""

import zipfile
from pathlib import Path

from mmtx_cli.io.checkpoint_files.keep import checkpoint_files
from mmtx_cli.io.checkpoint_files.seal import damage, read_seal
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError

UNREADABLE = (RefusedFileError, zipfile.BadZipFile, OSError, ValueError, RuntimeError)
"""What reading a damaged archive may raise."""


def is_intact(path: Path) -> bool:
    """Return True if a checkpoint matches its checksums."""
    try:
        return damage(path) is None
    except UNREADABLE:
        return False


def intact_hint(path: Path) -> str:
    """Return the newest intact checkpoint beside a damaged one, in brackets; empty if none is."""
    for other in checkpoint_files(path.parent):
        if other.name != path.name and is_intact(other):
            return f" ({other}{step_text(other)}, is intact)"
    return ""


def step_text(path: Path) -> str:
    """Return the step of a checkpoint as text, empty if it has no seal."""
    seal = read_seal(path)
    return f", step {seal.step:,}" if seal else ""
