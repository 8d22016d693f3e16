"""Trained models on disk: run folders, Lightning checkpoints, and model folders.

A model folder holds ``model.safetensors``, ``config.json`` and ``tokenizer.json``: tensors and
plain data only. A run folder's is ``RUN/model``.
"""

import json
import os
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.atomic import replaced
from mmtx_cli.io.checksums import checksums, damaged_entry, refuse_not_finite
from mmtx_cli.io.file_errors import is_of_files, reason
from mmtx_cli.io.moved_targets import renamed
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
"""The files of the tokenizers; the second is the one that a pretrained text encoder brought."""
OF_THE_RUN = ("run", "rows")
"""What a checkpoint keeps of its run, which is no part of the model."""
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
"""What a config holds beside model, preparation and data; the lists are of texts."""
PREFIX = "model."
"""Where the Lightning module keeps the model."""


def find(path: str) -> Path:
    """The model folder or .ckpt that ``ckpt=`` names; a run folder gives its model or last save."""
    given = Path(str(path)).expanduser()
    if not given.exists():
        here = given.parent if given.parent.is_dir() else Path()
        close = get_close_matches(given.name, os.listdir(here), n=1)
        hint = f"; did you mean {here / close[0]}?" if close else ""
        raise CheckpointError(f"ckpt={path}: there is no such file or folder{hint}")
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
        f"ckpt={path}: the folder has neither {WEIGHTS}, model/{WEIGHTS} nor checkpoints/last.ckpt"
        f"{hint}"
    )


def read_config(path: str) -> dict[str, Any]:
    """The config of a trained model, without its tensors where that can be (torch stays out)."""
    found = find(path)
    if found.is_dir():
        return read_folder_config(found)
    return sound(load_checkpoint(found)["config"], found)


def read_folder_config(folder: Path) -> dict[str, Any]:
    """The config of a model folder, tokenizer included."""
    config = sound(_read(read_json, folder / CONFIG, MAX_CONFIG_BYTES), folder / CONFIG)
    held = config.pop("tokenizers", None) or []
    if not isinstance(held, list) or not set(TOKENIZERS).issuperset(map(str, held)):
        known = ", ".join(TOKENIZERS)
        raise CheckpointError(f"{folder / CONFIG}: tokenizers must be a list of some of {known}")
    for key, name in TOKENIZERS.items():
        file = folder / name
        if key in held and not file.exists():
            raise CheckpointError(f"{file}: there is no such file; take the whole model folder")
        config[key] = _read(read_text, file, MAX_TOKENIZER_BYTES) if key in held else None
    return config


def _read(reader: Callable[[Path, int], Any], path: Path, limit: int) -> Any:
    try:
        return reader(path, limit)
    except (OSError, RefusedFileError) as error:
        raise CheckpointError(
            f"{path}: cannot be read: {error}; take the model folder from where it was made"
        ) from error


def sound(config: Any, path: Path) -> dict[str, Any]:
    """The config if it has the parts that all of ours have; what is in them is checked later.

    Raises:
        CheckpointError: if it lacks one, or holds anything but plain data.
    """
    if (fault := plain_fault(config)) is not None:
        raise CheckpointError(f"{path}: its config holds {fault}, which mmtx never writes")
    whole = renamed(config) if isinstance(config, Mapping) else {}
    model = whole.get("model")
    model = model if isinstance(model, Mapping) else {}
    groups = [model.get("encoder"), model.get("head"), whole.get("preparation"), whole.get("data")]
    parts = [p for g in groups[:2] if isinstance(g, Mapping) for p in g.values() if p is not None]
    right = all(isinstance(node, Mapping) for node in (*groups, *parts, model.get("fusion")))
    if not right or "dim" not in model or not all(map(_fits, KINDS, map(whole.get, KINDS))):
        raise CheckpointError(f"{path}: not the config of a model that mmtx trained")
    return {**whole, "model": {**model, "head": untaught(model["head"])}}


def _fits(key: str, value: Any) -> bool:
    """Is it what stands at a key of the config, or nothing?"""
    kind = KINDS[key]
    of_texts = not isinstance(value, list) or all(isinstance(item, str) for item in value)
    return value is None or (isinstance(value, kind) and of_texts)


def untaught(heads: Mapping[str, Any]) -> dict[str, Any]:
    """The heads of a trained model: they have no teacher any more."""
    return {
        name: {**node, "teacher": None} if isinstance(node, Mapping) and "teacher" in node else node
        for name, node in heads.items()
    }


def load_checkpoint(path: Path) -> dict[str, Any]:
    """A whole .ckpt, as tensors and plain data: nothing in it is ever executed.

    Raises:
        CheckpointError: if it is damaged or holds anything else.
    """
    try:
        check_archive(path)
        damaged = damaged_entry(path)
        checkpoint = load_archive(path)
    except RefusedFileError as error:
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint: {error}; take another save of the run"
        ) from error
    except Exception as error:  # a damaged file may raise anything
        if isinstance(error, OSError) and is_of_files(error):
            raise CheckpointError(f"{path}: cannot be read: {reason(error)}") from error
        raise CheckpointError(
            f"{path}: cannot be read as a checkpoint: it is cut off, or holds other things than "
            "tensors and plain data, which are never loaded; take another save of the run, or its "
            "model folder"
        ) from error
    if damaged is not None:
        raise CheckpointError(
            f"{path}: damaged: {damaged} is not what was saved; take another save of the run, or "
            "a copy of this one"
        )
    if not isinstance(checkpoint, dict) or "config" not in checkpoint:
        raise CheckpointError(
            f"{path}: not a checkpoint of mmtx (it has no 'config'); ckpt= takes a run folder, "
            "a .ckpt that mmtx wrote, or a model folder"
        )
    state = checkpoint.get("state_dict")
    if not isinstance(state, Mapping) or not all(isinstance(name, str) for name in state):
        raise CheckpointError(
            f"{path}: not a checkpoint of mmtx (it has no 'state_dict' of tensors by name)"
        )
    for name, value in state.items():
        if (fault := tensor_fault(value)) is not None:
            raise CheckpointError(f"{path}: {name} {fault}; take another save of the run")
    return checkpoint


def read_weights(path: str) -> dict[str, Any]:
    """Tensors of a trained model by parameter name.

    Raises:
        CheckpointError: if the file cannot be read, or a number is NaN or infinite: such a model
            gives wrong results without any sign of it.
    """
    found = find(path)
    if found.is_dir():
        return read_safetensors(found / WEIGHTS)
    state = load_checkpoint(found)["state_dict"]
    tensors = {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}
    check_finite(found, tensors)
    return tensors


def check_finite(path: Path, tensors: Mapping[str, Any]) -> None:
    """Refuse weights that are NaN or infinite, naming the first such tensor."""
    refuse_not_finite(path, not_finite(tensors))


def save_folder(folder: Path, config: Mapping[str, Any], state: Mapping[str, Any]) -> Path:
    """Write a model folder; each file appears whole or not at all."""
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
