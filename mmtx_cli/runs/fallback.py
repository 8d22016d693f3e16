"""Fall back to the newest intact checkpoint of a run if the last one is damaged or missing."""

import csv
import io
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmtx_cli.distributed.ranks import is_first_process
from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.checkpoint import read_meta
from mmtx_cli.io.checkpoint_files.intact import is_intact
from mmtx_cli.io.checkpoint_files.keep import checkpoint_files, copy_checkpoint, is_checkpoint
from mmtx_cli.io.checkpoint_files.seal import read_seal
from mmtx_cli.io.sharded.folder import check_files, is_sharded, read_checksums
from mmtx_cli.io.untrusted.bounded_file import read_record

PATIENCE = 600.0
"""Seconds that the first process may take to verify and replace a checkpoint."""
_POLL_SECONDS = 0.5


def intact_config(last: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Return the config in last.ckpt; if it is damaged, replace it by the newest intact checkpoint.

    A warning names both, and the steps that are lost. The other files of a checkpoint folder are
    not changed. With several processes, the first one verifies and replaces it; those that a
    launcher started with it wait for that.

    Args:
        last: Path of the last checkpoint.
        read: Returns the config in a checkpoint, which is of this run.

    Raises:
        CheckpointError: if none is intact, or the last one is intact, but of another run.
    """
    lost = _last_step(last)
    try:
        if not last.exists() and not last.is_symlink():
            raise CheckpointError(f"{last}: file not found")
        return _read_intact(last, read)
    except CheckpointError as error:
        if is_checkpoint(last) and is_intact(last):
            raise
        for other in checkpoint_files(last.parent):
            if other == last:
                continue
            try:
                config, step = _read_intact(other, read), _step(other)
            except CheckpointError:
                continue
            if not is_first_process():
                return _replaced(last, read, error)
            copy_checkpoint(other, last)
            print(
                f"{error}\nmmtx: warning: resuming from {other}, the newest intact one "
                f"({_loss(step, lost)})",
                file=sys.stderr,
            )
            return config
        raise


def _read_intact(path: Path, read: Callable[[Path], dict[str, Any]]) -> dict[str, Any]:
    """Read a config and verify the checkpoint; shards, which may be large, in one process only."""
    config = read(path)
    if is_first_process() and is_sharded(path):
        check_files(path, listed := read_checksums(path), listed)
    return config


def _replaced(
    last: Path, read: Callable[[Path], dict[str, Any]], error: CheckpointError
) -> dict[str, Any]:
    """Return the config in last.ckpt once the first process has replaced it.

    Raises:
        CheckpointError: ``error``, if it does not do that in time.
    """
    limit = time.monotonic() + PATIENCE
    while time.monotonic() < limit:
        time.sleep(_POLL_SECONDS)
        with suppress(CheckpointError):
            return read(last)
    raise error


def _step(path: Path) -> int | None:
    """Return the step of an intact checkpoint."""
    if (seal := read_seal(path)) is not None:
        return seal.step
    step = read_meta(path).get("global_step")
    return step if type(step) is int else None


def _last_step(last: Path) -> int | None:
    """Return the step that a run had reached: of its last checkpoint, or of its metrics."""
    if (seal := read_seal(last)) is not None:
        return seal.step
    try:
        rows = csv.DictReader(io.StringIO(read_record(last.parents[1] / "metrics.csv"), newline=""))
        return max((int(row["step"]) for row in rows), default=None)
    except (OSError, ValueError, KeyError, TypeError, csv.Error):
        return None


def _loss(step: int | None, reached: int | None) -> str:
    if step is None:
        return "of an unknown step"
    if reached is None:
        return f"step {step:,}; the steps after it are repeated"
    repeated = max(0, reached - step)
    return f"step {step:,}; {repeated:,} {'step is' if repeated == 1 else 'steps are'} repeated"


def resumed_step(last: Path) -> int:
    """Return the step of the checkpoint that a run is resumed from.

    Raises:
        CheckpointError: if it states none.
    """
    step = read_meta(last).get("global_step")
    if type(step) is not int:
        raise CheckpointError(f"{last}: contains no valid step count (global_step)")
    return step


def later_best(path: Path, step: int) -> Mapping[str, Any] | None:
    """Return the callback states in best.ckpt if it was saved after ``step``, else None.

    A run that ended between the saves of best.ckpt and of last.ckpt is resumed before its best.
    """
    seal = read_seal(path)
    if seal is None or seal.step <= step:
        return None
    try:
        states = read_meta(path).get("callbacks")
    except CheckpointError:
        return None
    return states if isinstance(states, Mapping) else None
