"""Atomic checkpoint I/O: written to a temporary file beside the target, synced, then renamed.

Lightning's own writer uses the temporary folder and does not sync: a process killed while
writing can lose both the old and the new checkpoint.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from mmtx_cli.distributed.lightning import pl
from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.atomic import atomic_write, make_subfolder
from mmtx_cli.io.checkpoint import check_finite, load_checkpoint
from mmtx_cli.io.sharded.folder import is_sharded, make_temporary, remove, replace, sync


class SafeCheckpointIO(pl.plugins.TorchCheckpointIO):
    """Writes checkpoints atomically and durably; reads only tensors and plain data."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | os.PathLike, storage_options: Any = None
    ) -> None:
        """Replace ``path`` by the new checkpoint atomically."""
        target = Path(path)
        make_subfolder(target.parent)  # a run folder that was removed is not recreated
        if target.is_dir() and is_sharded(target):  # of the run before it was resumed
            temporary = make_temporary(target)
            torch.save(checkpoint, temporary / target.name)
            sync(temporary / target.name)
            replace(temporary / target.name, target)
            remove(temporary)
            return
        with atomic_write(target, size_of(checkpoint)) as temporary:
            torch.save(checkpoint, temporary)

    def load_checkpoint(self, path: str | os.PathLike, *_: Any, **__: Any) -> dict[str, Any]:
        """Read and validate a checkpoint, without executing any code in it."""
        checkpoint = load_checkpoint(Path(path))
        check_finite(Path(path), checkpoint["state_dict"])
        check_state(Path(path), checkpoint)
        return checkpoint


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
