"""Read and write trained models: run folders, Lightning checkpoints and model folders.

A model folder contains ``model.safetensors``, ``config.json`` and ``tokenizer.json``: tensors and
plain data only. That of a run is ``RUN/model``.
"""

import json
import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.atomic import replaced
from mmtx_cli.io.checksums import check_finite_weights, checksums, damaged_entry
from mmtx_cli.io.file_errors import is_of_files, reason
from mmtx_cli.io.former_names import renamed
from mmtx_cli.io.safetensors_file import read_safetensors
from mmtx_cli.io.tensor_checks import not_finite, tensor_fault
from mmtx_cli.io.torch_file import check_archive, load_archive, plain_fault
from mmtx_cli.io.untrusted_file import (
    MAX_CONFIG_BYTES,
    MAX_TOKENIZER_BYTES,
    RefusedFileError,
    read_json,
    read_text,
)

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
TOKENIZERS = {"tokenizer": TOKENIZER, "text_tokenizer": "text_tokenizer.json"}
"""File names of the tokenizers; the second is that of a pretrained text encoder."""
OF_THE_RUN = ("run", "rows")
"""Entries of a checkpoint's config that belong to the run, not to the model."""
KINDS: Mapping[str, type] = {
    "tokenizer": str,
    "text_tokenizer": str,
    "label_names": list,
    "answer_names": list,
    "multi_label": bool,
    "seed": int,
    "run": Mapping,
    "rows": Mapping,
}
"""Types of a config's entries besides model, preparation and data; lists are of strings."""
PREFIX = "model."
"""Prefix of the model's parameters in the Lightning module."""


def find(path: str) -> Path:
    """Return the model folder or .ckpt file given by ``ckpt=``.

    For a run folder, it is the run's model folder, else its best or last checkpoint.

    Raises:
        CheckpointError: if nothing is found.
    """
    given = Path(str(path)).expanduser()
    if not given.exists():
        here = given.parent if given.parent.is_dir() else Path()
        close = get_close_matches(given.name, os.listdir(here), n=1)
        hint = f"; did you mean {here / close[0]}?" if close else ""
        raise CheckpointError(f"ckpt={path}: file or folder not found{hint}")
    if not given.is_dir():
        return given
    for folder in (given, given / "model"):
        if (folder / WEIGHTS).exists():
            return folder
    for name in ("best.ckpt", "last.ckpt"):
        if (given / "checkpoints" / name).exists():
            return given / "checkpoints" / name
    try:
        below = [p for p in sorted(given.iterdir()) if (p / "model" / WEIGHTS).is_file()]
    except OSError as error:
        raise CheckpointError(f"ckpt={path}: cannot be read: {reason(error)}") from error
    hint = f"; did you mean {below[-1]}?" if below else ""
    raise CheckpointError(
        f"ckpt={path}: the folder contains neither {WEIGHTS}, model/{WEIGHTS} nor "
        f"checkpoints/last.ckpt{hint}"
    )


def read_config(path: str) -> dict[str, Any]:
    """Return the config of a trained model; of a model folder, without importing torch."""
    found = find(path)
    if found.is_dir():
        return read_folder_config(found)
    return sound(load_checkpoint(found)["config"], found)


def read_folder_config(folder: Path) -> dict[str, Any]:
    """Return the config of a model folder, including the tokenizers."""
    config = sound(_read(read_json, folder / CONFIG, MAX_CONFIG_BYTES), folder / CONFIG)
    held = config.pop("tokenizers", None) or []
    if not isinstance(held, list) or not set(TOKENIZERS).issuperset(map(str, held)):
        known = ", ".join(TOKENIZERS)
        raise CheckpointError(
            f"{folder / CONFIG}: tokenizers must be a list of names from: {known}"
        )
    for key, name in TOKENIZERS.items():
        file = folder / name
        if key in held and not file.exists():
            raise CheckpointError(f"{file}: file not found; use a complete model folder")
        config[key] = _read(read_text, file, MAX_TOKENIZER_BYTES) if key in held else None
    return config


def _read(reader: Callable[[Path, int], Any], path: Path, limit: int) -> Any:
    try:
        return reader(path, limit)
    except (OSError, RefusedFileError) as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error}; copy the model folder again from its source"
        ) from error


def sound(config: Any, path: Path) -> dict[str, Any]:
    """Return a config with current class names and without teachers, after checking its structure.

    The contents of its parts are checked later.

    Raises:
        CheckpointError: if a required part is missing, or it contains anything but plain data.
    """
    if (fault := plain_fault(config)) is not None:
        raise CheckpointError(f"{path}: its config contains {fault}, which mmtx never writes")
    whole = renamed(config) if isinstance(config, Mapping) else {}
    model = whole.get("model")
    model = model if isinstance(model, Mapping) else {}
    groups = [model.get("encoder"), model.get("head"), whole.get("preparation"), whole.get("data")]
    parts = [p for g in groups[:2] if isinstance(g, Mapping) for p in g.values() if p is not None]
    right = all(isinstance(node, Mapping) for node in (*groups, *parts, model.get("fusion")))
    if not right or "dim" not in model or not all(map(_fits, KINDS, map(whole.get, KINDS))):
        raise CheckpointError(f"{path}: not the config of a model trained by mmtx")
    return {**whole, "model": {**model, "head": untaught(model["head"])}}


def _fits(key: str, value: Any) -> bool:
    """Return True if a value is None or of the type expected at a key of the config."""
    kind = KINDS[key]
    of_texts = not isinstance(value, list) or all(isinstance(item, str) for item in value)
    return value is None or (isinstance(value, kind) and of_texts)


def untaught(heads: Mapping[str, Any]) -> dict[str, Any]:
    """Return the heads' configs without teachers, which a trained model does not need."""
    return {
        name: {**node, "teacher": None} if isinstance(node, Mapping) and "teacher" in node else node
        for name, node in heads.items()
    }


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Load a whole .ckpt as tensors and plain data, without executing any code in it.

    Raises:
        CheckpointError: if it is damaged or contains anything else.
    """
    try:
        check_archive(path)
        damaged = damaged_entry(path)
        checkpoint = load_archive(path)
    except RefusedFileError as error:
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint: {error}; use another checkpoint of the run"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        if isinstance(error, OSError) and is_of_files(error):
            raise CheckpointError(f"{path}: cannot be read: {reason(error)}") from error
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint: it is truncated, or contains objects "
            "other than tensors and plain data, which are never loaded; use another checkpoint of "
            "the run, or its model folder"
        ) from error
    if damaged is not None:
        raise CheckpointError(
            f"{path}: damaged: {damaged} did not match its checksum; use another checkpoint of "
            "the run, or another copy of this one"
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


def read_weights(path: str) -> dict[str, Any]:
    """Return the tensors of a trained model by parameter name.

    Raises:
        CheckpointError: if the file cannot be read, or a value is NaN or infinite: such a model
            would silently give wrong results.
    """
    found = find(path)
    if found.is_dir():
        return read_safetensors(found / WEIGHTS)
    state = load_checkpoint(found)["state_dict"]
    tensors = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    check_finite(found, tensors)
    return tensors


def check_finite(path: Path, tensors: Mapping[str, Any]) -> None:
    """Raise CheckpointError if any weight is NaN or infinite, naming the first such tensor."""
    check_finite_weights(path, not_finite(tensors))


def save_folder(folder: Path, config: Mapping[str, Any], state: Mapping[str, Any]) -> Path:
    """Write a model folder; each file is written atomically."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: x.detach().cpu().contiguous().clone() for name, x in state.items()}
    with replaced(folder / WEIGHTS, sum(x.nbytes for x in tensors.values())) as temporary:
        save_file(tensors, temporary, checksums(tensors))
    plain = {k: v for k, v in config.items() if k not in (*TOKENIZERS, *OF_THE_RUN)}
    plain["model"] = {**plain["model"], "head": untaught(plain["model"]["head"])}
    plain["tokenizers"] = [key for key in TOKENIZERS if config.get(key)]
    with replaced(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    for key, name in TOKENIZERS.items():
        if config.get(key):
            with replaced(folder / name) as temporary:
                temporary.write_text(config[key], encoding="utf-8")
    return folder
