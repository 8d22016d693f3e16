"""Read and write trained models: run folders, Lightning checkpoints and model folders.

A model folder contains ``model.safetensors``, ``config.json`` and ``tokenizer.json``: tensors and
plain data only. That of a run is ``RUN/model``.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.checkpoint_files.intact import intact_hint
from mmtx_cli.io.checkpoint_files.seal import damage
from mmtx_cli.io.file_errors import is_of_files, reason
from mmtx_cli.io.former_forms import restored
from mmtx_cli.io.former_names import renamed
from mmtx_cli.io.sharded.folder import is_sharded
from mmtx_cli.io.sharded.tensors import load_meta, load_sharded, weight_names
from mmtx_cli.io.untrusted.bounded_file import (
    MAX_CONFIG_BYTES,
    MAX_TOKENIZER_BYTES,
    RefusedFileError,
    read_json,
    read_text,
)
from mmtx_cli.io.untrusted.checksums import check_finite_weights
from mmtx_cli.io.untrusted.safetensors_file import METADATA, read_header, read_safetensors
from mmtx_cli.io.untrusted.tensor_checks import not_finite, tensor_fault
from mmtx_cli.io.untrusted.torch_file import check_archive, load_archive, plain_fault

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
TOKENIZERS = {"tokenizer": TOKENIZER, "text_tokenizer": "text_tokenizer.json"}
"""File names of the tokenizers; the second is that of a pretrained text encoder."""
RUN_ENTRIES = ("run", "rows")
"""Entries of a checkpoint's config that belong to the run, not to the model."""
ENTRY_TYPES: Mapping[str, type] = {
    "tokenizer": str,
    "text_tokenizer": str,
    "label_names": list,
    "answer_names": list,
    "multi_label": bool,
    "seed": int,
    "early": bool,
    "run": Mapping,
    "rows": Mapping,
}
"""Types of a config's entries besides model, preparation and data; lists are of strings."""
PREFIX = "model."
"""Prefix of the model's parameters in the Lightning module."""


def find_model(path: str) -> Path:
    """Return the model folder or .ckpt file given by ``ckpt=``.

    For a run folder, it is the run's model folder, else its best or last checkpoint.

    Raises:
        CheckpointError: if nothing is found.
    """
    given = Path(str(path)).expanduser()
    if not given.exists():
        parent = given.parent if given.parent.is_dir() else Path()
        matches = get_close_matches(given.name, os.listdir(parent), n=1)
        hint = f"; did you mean {parent / matches[0]}?" if matches else ""
        raise CheckpointError(f"ckpt={path}: file or folder not found{hint}")
    if not given.is_dir() or is_sharded(given):
        return given
    if is_onnx_folder(given):
        raise CheckpointError(
            f"ckpt={path}: a folder of ONNX graphs, which only `mmtx caption` can use; set ckpt to "
            "the model that was exported"
        )
    for folder in (given, given / "model"):
        if (folder / WEIGHTS).exists():
            return folder
    for name in ("best.ckpt", "last.ckpt"):
        if (given / "checkpoints" / name).exists():
            return given / "checkpoints" / name
    try:
        runs = [p for p in sorted(given.iterdir()) if (p / "model" / WEIGHTS).is_file()]
    except OSError as error:
        raise CheckpointError(f"ckpt={path}: cannot be read: {reason(error)}") from error
    hint = f"; did you mean {runs[-1]}?" if runs else ""
    raise CheckpointError(
        f"ckpt={path}: the folder contains neither {WEIGHTS}, model/{WEIGHTS} nor "
        f"checkpoints/last.ckpt{hint}"
    )


def is_onnx_folder(path: Path) -> bool:
    """Return True if a path is a model folder of ONNX graphs (``io/onnx_folder.py``)."""
    return path.is_dir() and not (path / WEIGHTS).exists() and any(path.glob("*.onnx"))


def read_config(path: str) -> dict[str, Any]:
    """Return the config of a trained model; of a model folder, without importing torch."""
    found = find_model(path)
    if found.is_dir() and not is_sharded(found):
        return read_folder_config(found)
    checkpoint = read_meta(found)
    names = weight_names(found, PREFIX) if is_sharded(found) else model_tensors(checkpoint)
    config = checked_config(checkpoint["config"], found, names)
    return config if "run" in config else {**config, "early": True}


def read_folder_config(folder: Path) -> dict[str, Any]:
    """Return the config of a model folder, including the tokenizers."""
    plain = read_file(read_json, folder / CONFIG, MAX_CONFIG_BYTES)
    header = read_header(folder / WEIGHTS)
    config = checked_config(plain, folder / CONFIG, header)
    if METADATA not in header:
        config["early"] = True
    return with_tokenizers(config, folder)


def with_tokenizers(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the config of a folder with its tokenizers in place of their names."""
    stored = config.pop("tokenizers", None) or []
    if not isinstance(stored, list) or not set(TOKENIZERS).issuperset(map(str, stored)):
        known = ", ".join(TOKENIZERS)
        raise CheckpointError(
            f"{folder / CONFIG}: tokenizers must be a list of names from: {known}"
        )
    for key, name in TOKENIZERS.items():
        file = folder / name
        if key in stored and not file.exists():
            raise CheckpointError(f"{file}: file not found; use a complete model folder")
        config[key] = read_file(read_text, file, MAX_TOKENIZER_BYTES) if key in stored else None
    return config


def read_file(reader: Callable[[Path, int], Any], path: Path, limit: int) -> Any:
    """Read a file of a model folder with ``reader``; raise CheckpointError if that fails."""
    try:
        return reader(path, limit)
    except (OSError, RefusedFileError) as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error}; copy the model folder again from its source"
        ) from error


def checked_config(config: Any, path: Path, names: Iterable[str]) -> dict[str, Any]:
    """Return a config with current class names and without teachers, after checking its structure.

    Classes are those that have tensors of the model's ``names``. The contents of the config's parts
    are checked later.

    Raises:
        CheckpointError: if a required part is missing, or it contains anything but plain data.
    """
    if (fault := plain_fault(config)) is not None:
        raise CheckpointError(f"{path}: its config contains {fault}, which mmtx never writes")
    current = renamed(config) if isinstance(config, Mapping) else {}
    model = current.get("model")
    model = model if isinstance(model, Mapping) else {}
    groups = [
        model.get("encoder"),
        model.get("head"),
        current.get("preparation"),
        current.get("data"),
    ]
    parts = [p for g in groups[:2] if isinstance(g, Mapping) for p in g.values()]
    parts += [model.get("connector"), model.get("decoder")]
    needed = (*groups, model.get("fusion"), *(part for part in parts if part is not None))
    is_valid = all(isinstance(node, Mapping) for node in needed)
    if (
        not is_valid
        or "dim" not in model
        or not all(map(_has_type, ENTRY_TYPES, map(current.get, ENTRY_TYPES)))
    ):
        raise CheckpointError(f"{path}: not the config of a model trained by mmtx")
    model = restored({**model, "head": without_teachers(model["head"])}, names)
    return {**current, "model": model}


def _has_type(key: str, value: Any) -> bool:
    """Return True if a value is None or of the type expected at a key of the config."""
    kind = ENTRY_TYPES[key]
    of_texts = not isinstance(value, list) or all(isinstance(item, str) for item in value)
    return value is None or (isinstance(value, kind) and of_texts)


def without_teachers(heads: Mapping[str, Any]) -> dict[str, Any]:
    """Return the heads' configs without teachers, which a trained model does not need."""
    return {
        name: {**node, "teacher": None} if isinstance(node, Mapping) and "teacher" in node else node
        for name, node in heads.items()
    }


def load_checkpoint(path: Path, lazily: bool = False, optimizer: bool = True) -> dict[str, Any]:
    """Load a whole .ckpt as tensors and plain data, without executing any code in it.

    With ``lazily``, the values of tensors are read when they are used. Of a sharded checkpoint, the
    state of the optimizer is read only if ``optimizer``.

    Raises:
        CheckpointError: if it is damaged or contains anything else.
    """
    if is_sharded(path):
        return load_sharded(path, optimizer)
    try:
        damaged = damage(path)
        if damaged is None:
            check_archive(path)
            checkpoint = load_archive(path, lazily)
    except RefusedFileError as error:
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint: {error}; use another checkpoint of the "
            f"run{intact_hint(path)}"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        if isinstance(error, OSError) and is_of_files(error):
            raise CheckpointError(f"{path}: cannot be read: {reason(error)}") from error
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint: it is truncated, or contains objects "
            "other than tensors and plain data, which are never loaded; use another checkpoint of "
            f"the run{intact_hint(path)}, or its model folder"
        ) from error
    if damaged is not None:
        raise CheckpointError(
            f"{path}: damaged: {damaged} did not match its checksum; use another checkpoint of "
            f"the run{intact_hint(path)}, or another copy of this one"
        )
    if not isinstance(checkpoint, dict) or "config" not in checkpoint:
        raise CheckpointError(
            f"{path}: not an mmtx checkpoint (no 'config'); ckpt= takes a run folder, "
            "a .ckpt file written by mmtx, or a model folder"
        )
    state = checkpoint.get("state_dict")
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(f"{path}: not an mmtx checkpoint (no 'state_dict' of named tensors)")
    for name, value in state.items():
        if (fault := tensor_fault(value)) is not None:
            raise CheckpointError(f"{path}: {name} {fault}; use another checkpoint of the run")
    return checkpoint


def read_meta(path: Path) -> dict[str, Any]:
    """Return a checkpoint; of a sharded one, all but the tensors in its shards."""
    return load_meta(path) if is_sharded(path) else load_checkpoint(path, lazily=True)


def read_weights(path: str) -> dict[str, Any]:
    """Return the tensors of a trained model by parameter name.

    Raises:
        CheckpointError: if the file cannot be read, or a value is NaN or infinite: such a model
            would silently give wrong results.
    """
    found = find_model(path)
    if found.is_dir() and not is_sharded(found):
        return read_safetensors(found / WEIGHTS)
    tensors = model_tensors(load_checkpoint(found, optimizer=False))
    check_finite(found, tensors)
    return tensors


def tensor_names(path: str) -> list[str]:
    """Return the names of the tensors of a trained model."""
    found = find_model(path)
    if is_sharded(found):
        return weight_names(found, PREFIX)
    if found.is_dir():
        return list(read_header(found / WEIGHTS))
    return list(model_tensors(load_checkpoint(found, lazily=True, optimizer=False)))


def model_tensors(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """Return the tensors of the model in a loaded .ckpt by parameter name."""
    state = checkpoint["state_dict"]
    return {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}


def check_finite(path: Path, tensors: Mapping[str, Any]) -> None:
    """Raise CheckpointError if any weight is NaN or infinite, naming the first such tensor."""
    check_finite_weights(path, not_finite(tensors))
