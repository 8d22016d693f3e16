"""Write model folders (``checkpoint.py`` reads them)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.checkpoint import CONFIG, RUN_ENTRIES, TOKENIZERS, WEIGHTS, without_teachers
from mmtx_cli.io.untrusted.checksums import checksums


def save_folder(folder: Path, config: Mapping[str, Any], state: Mapping[str, Any]) -> Path:
    """Write a model folder; each file is written atomically."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: x.detach().cpu().contiguous().clone() for name, x in state.items()}
    with atomic_write(folder / WEIGHTS, sum(x.nbytes for x in tensors.values())) as temporary:
        save_file(tensors, temporary, checksums(tensors))
    write_config(folder, config)
    return folder


def write_config(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the config and the tokenizers of a model folder."""
    plain = {k: v for k, v in config.items() if k not in (*TOKENIZERS, *RUN_ENTRIES)}
    plain["model"] = {**plain["model"], "head": without_teachers(plain["model"]["head"])}
    plain["tokenizers"] = [key for key in TOKENIZERS if config.get(key)]
    with atomic_write(folder / CONFIG) as temporary:
        temporary.write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")
    for key, name in TOKENIZERS.items():
        if config.get(key):
            with atomic_write(folder / name) as temporary:
                temporary.write_text(config[key], encoding="utf-8")
