"""Trained models on disk: run folders, Lightning checkpoints, and model folders.

A model folder holds ``model.safetensors``, ``config.json`` and ``tokenizer.json``: tensors and
plain data only. A run folder's is ``RUN/model``.
"""

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from mmtx_cli.checksum import check_tensors, checksums, damaged_entry
from mmtx_cli.error import CheckpointError
from mmtx_cli.storage import is_of_files, reason, writing

WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
TOKENIZERS = {"tokenizer": TOKENIZER, "text_tokenizer": "text_tokenizer.json"}
"""The files of the tokenizers; the second is the one that a pretrained text encoder brought."""
OF_THE_RUN = ("run", "rows")
"""What a checkpoint keeps of its run, which is no part of the model."""
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
    if given.is_file():
        return given
    saves = (given / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    for found in (given, given / "model", *saves):
        if found.is_file() or (found / WEIGHTS).is_file():
            return found
    below = [p for p in sorted(given.iterdir()) if (p / "model" / WEIGHTS).is_file()]
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
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG}: cannot be read: {error}") from error
    config = sound(config, folder / CONFIG)
    held = config.pop("tokenizers", None) or ()
    for key, name in TOKENIZERS.items():
        file = folder / name
        if key in held and not file.is_file():
            raise CheckpointError(f"{file}: there is no such file; take the whole model folder")
        config[key] = file.read_text(encoding="utf-8") if key in held else None
    return config


def sound(config: Any, path: Path) -> dict[str, Any]:
    """The config if it has the parts that all of ours have; what is in them is checked later."""
    whole = config if isinstance(config, Mapping) else {}
    model = whole.get("model")
    model = model if isinstance(model, Mapping) else {}
    groups = [model.get("encoder"), model.get("head"), whole.get("preparation"), whole.get("data")]
    parts = [p for g in groups[:2] if isinstance(g, Mapping) for p in g.values() if p is not None]
    right = all(isinstance(node, Mapping) for node in (*groups, *parts, model.get("fusion")))
    if not right or "dim" not in model:
        raise CheckpointError(f"{path}: not the config of a model that mmtx trained")
    return {**whole, "model": {**model, "head": untaught(model["head"])}}


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
    import torch

    try:
        damaged = damaged_entry(path)
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
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
    return checkpoint


def read_weights(path: str) -> dict[str, Any]:
    """Tensors of a trained model by parameter name."""
    found = find(path)
    if found.is_dir():
        from safetensors import SafetensorError, safe_open
        from safetensors.torch import load_file

        try:
            tensors = load_file(found / WEIGHTS)
            with safe_open(found / WEIGHTS, "pt") as file:
                metadata = file.metadata() or {}
        except (SafetensorError, OSError) as error:
            raise CheckpointError(f"{found / WEIGHTS}: cannot be read: {error}") from error
        check_tensors(found / WEIGHTS, tensors, metadata)
        return tensors
    state = load_checkpoint(found)["state_dict"]
    return {k.removeprefix(PREFIX): v for k, v in state.items() if k.startswith(PREFIX)}


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


@contextmanager
def replaced(path: Path, size: int | None = None) -> Iterator[Path]:
    """Give a temporary path beside ``path``, and move it there, safely on disk, at the end.

    ``size`` is how many bytes it takes: named where there is no room for them.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        with writing(path, size, temporary):
            yield temporary
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(temporary, 0o666 & ~mask)  # some writers make files only their owner reads
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
