"""Digests of frozen teachers, whose weights are not part of a checkpoint."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from torch import nn

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.untrusted.checksums import crc
from mmtx_cli.layer.frozen_teacher import FrozenTeacher


def teacher_digests(heads: Mapping[str, nn.Module]) -> dict[str, str]:
    """Return a digest of the weights of each head's frozen teacher, by head."""
    teachers = {name: getattr(head, "teacher", None) for name, head in heads.items()}
    return {
        name: digest(teacher.model)
        for name, teacher in teachers.items()
        if isinstance(teacher, FrozenTeacher)
    }


def digest(model: nn.Module) -> str:
    """Return a digest of the names, shapes, types and values of a model's weights."""
    found = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        found.update(f"{name} {list(tensor.shape)} {tensor.dtype} {crc(tensor)};".encode())
    return found.hexdigest()


def check_teachers(stored: Any, current: Mapping[str, str]) -> None:
    """Check that the teachers of a resumed run are those that it had.

    A teacher without a stored digest is of an earlier version, and is not checked.

    Raises:
        CheckpointError: naming the heads whose teacher has other weights.
    """
    known = stored if isinstance(stored, Mapping) else {}
    changed = [name for name, value in current.items() if known.get(name, value) != value]
    if changed:
        raise CheckpointError(
            f"head.{changed[0]}.teacher: has other weights than before the run was stopped; "
            "restore them, or start a new run with ckpt="
        )
