"""Atomic checkpoint I/O: written to a temporary file beside the target, synced, then renamed.

Lightning's own writer uses the temporary folder and does not sync: a process killed while
writing can lose both the old and the new checkpoint.
"""

import errno
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from mmtx_cli.distributed.collectives import rank
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.atomic import make_subfolder
from mmtx_cli.io.checkpoint import check_finite, load_checkpoint
from mmtx_cli.io.checkpoint_files.keep import LAST, keep_previous
from mmtx_cli.io.checkpoint_files.seal import write_sealed
from mmtx_cli.io.file_errors import DISK_FULL, FileError, free_space, reason
from mmtx_cli.io.sharded.folder import replacing


class SafeCheckpointIO(pl.plugins.TorchCheckpointIO):
    """Writes checkpoints atomically and durably; reads only tensors and plain data."""

    def __init__(self, keep: int = 1) -> None:
        """``keep`` is the number of latest checkpoints to keep (``trainer.keep_checkpoints``)."""
        super().__init__()
        self.keep = keep
        self.optional = False
        """Whether a save that finds no space is only reported. The run then goes on with its
        earlier checkpoint."""
        self.failed = False
        """Whether the latest save found no space."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any = None
    ) -> None:
        """Replace ``path`` by the new checkpoint atomically; keep the previous ``last.ckpt``.

        Raises:
            OSError: if it cannot be written; not for lack of space if the save is ``optional``.
        """
        target = Path(path)
        make_subfolder(target.parent)  # a run folder that was removed is not recreated
        with self.saving(target, checkpoint.get("global_step")):
            self.write(checkpoint, target)

    @contextmanager
    def saving(self, target: Path, step: Any) -> Iterator[None]:
        """Report that a save found no space, if it is ``optional``; sets ``failed``."""
        self.failed = False
        try:
            yield
        except OSError as error:
            if not self.optional or error.errno not in DISK_FULL:
                raise
            self.failed = True
            if rank() == 0:
                print(
                    f"warning: {target}: not saved at step {step}: {reason(error)}; free some "
                    "space: the next save is tried as usual, and until then the run can be "
                    "resumed from its earlier checkpoint",
                    file=sys.stderr,
                    flush=True,
                )

    def write(self, checkpoint: dict[str, Any], target: Path) -> None:
        """Write a checkpoint, unless there is clearly no space for it."""
        size = size_of(checkpoint)
        check_space(target, size)
        step = checkpoint.get("global_step")
        with replacing(target, size) as temporary:
            write_sealed(
                temporary,
                lambda stream: torch.save(checkpoint, stream),
                step if isinstance(step, int) else 0,
            )
            if target.name == LAST:
                keep_previous(target, self.keep)

    def load_checkpoint(self, path: str | os.PathLike, *_: Any, **__: Any) -> dict[str, Any]:
        """Read and validate a checkpoint, without executing any code in it."""
        checkpoint = load_checkpoint(Path(path))
        check_finite(Path(path), checkpoint["state_dict"])
        check_state(Path(path), checkpoint)
        return checkpoint


def check_space(target: Path, size: int) -> None:
    """Check that the disk has space for a file, before the last free bytes are written.

    Raises:
        FileError: if it has not.
    """
    free = free_space(target)
    if free < size:
        error = FileError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(target))
        error.free, error.size = free, size
        raise error


STATE: Mapping[str, type] = {
    "epoch": int,
    "global_step": int,
    "pytorch-lightning_version": str,
    "loops": Mapping,
    "callbacks": Mapping,
    "optimizer_states": list,
    "lr_schedulers": list,
}
"""Keys that Lightning resumes a run from, besides the weights, and their types."""


def check_state(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Check that a checkpoint can be resumed from, before anything of it is restored.

    Raises:
        CheckpointError: naming the keys that are missing or of the wrong type.
    """
    invalid = [name for name, kind in STATE.items() if not isinstance(checkpoint.get(name), kind)]
    if invalid:
        raise CheckpointError(
            f"{path}: cannot be resumed from (missing or invalid: {', '.join(invalid)}); use "
            "another checkpoint of the run, or start a new run with its weights: ckpt="
        )


def size_of(node: Any) -> int:
    """Return the bytes of all tensors in nested plain data."""
    if isinstance(node, torch.Tensor):
        return node.nbytes
    if isinstance(node, Mapping):
        return sum(map(size_of, node.values()))
    return sum(map(size_of, node)) if isinstance(node, list | tuple) else 0
