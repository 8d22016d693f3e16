"""Untrained models in model folders, and commands that use trained ones, in this process."""

import json
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.config.preprocessing import ROOT_KEYS
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.io.model_folder import save_folder
from mmtx_cli.io.quoting import quoted
from mmtx_cli.runs.model_config import change
from mmtx_cli.runs.run_config import MODEL_KEYS
from tests.tiny import LABELS, tiny_config, tiny_model

TEXTS = ("a red ball", "a green box", "a blue star", "what color is it?")


def model_folder(
    path: Path,
    heads: Sequence[str],
    modalities: Sequence[str] = ("text", "image"),
    fusion: str = "concat",
    args: Sequence[str] = (),
) -> Path:
    """A model folder with random weights, as ``mmtx export`` leaves one."""
    tokenizer = Tokenizer.train(TEXTS, 300)
    words = {
        "vocab_size": len(tokenizer),
        "text_vocab_size": len(tokenizer),
        "bos_id": tokenizer.bos_id,
        "eos_id": tokenizer.eos_id,
        "mask_id": tokenizer.mask_id,
    }
    args = [*args, *(f"{key}={value}" for key, value in words.items())]
    model = tiny_model(fusion, heads, modalities, args)
    cfg = tiny_config(fusion, heads, modalities, args)
    for group, parts in (("encoder", model.encoder), ("head", model.head)):
        for name, part in parts.items():
            change(cfg[group][name], part.rebuild_kwargs())
    config = {
        "model": {key: cfg[key] for key in MODEL_KEYS},
        "preparation": {key: cfg[key] for key in ROOT_KEYS},
        "label_names": [*LABELS],
        "multi_label": bool(cfg["multi_label"]),
        "answer_names": [*LABELS],
        "tokenizer": tokenizer.to_json(),
        "data": {},
        "seed": 1,
    }
    return save_folder(path, config, model.state_dict())


def predict(run_dir: Path, *args: str) -> list[dict[str, Any]]:
    """The lines of a prediction."""
    return lines(command("predict", run_dir, *args) / "predictions.jsonl")


def command(name: str, run_dir: Path, *args: str) -> Path:
    """Run a command that uses a trained model, in this process; its run folder."""
    defaults = [f"run_dir={quoted(run_dir)}", "data.num_workers=0", "trainer.accelerator=cpu"]
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose(name, force_add([*defaults, *args]))
    OmegaConf.set_struct(cfg, False)
    import_module(f"mmtx_cli.command.{name}").run(cfg)
    return run_dir


def lines(path: Path) -> list[dict[str, Any]]:
    """The rows of a JSON Lines file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
