"""Check a command as ``mmtx`` does before it begins: its groups, choices, keys and values.

Neither data nor trained models are needed. The model of an earlier command is known by its
``run_dir``; any other is a stand-in with an encoder for every modality and several heads.
"""

import io
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout
from copy import deepcopy
from dataclasses import asdict
from pathlib import Path
from typing import Any
from unittest.mock import patch

from mmtx_cli.cli import main
from mmtx_cli.config.preprocessing import DATA_KEYS, ROOT_KEYS, Preprocessing
from mmtx_cli.runs.run_config import TrainConfig
from tests.command_line import environment

from .recorded import without_numbers

ANY = (
    "finetune",
    "data.path=stand-in.jsonl",
    "encoder/text=transformer",
    "encoder/image=vit",
    "encoder/video=vit",
    "encoder/audio=ast",
    "fusion=concat",
    "head=[captioning,classification,contrastive]",
    "run_dir=stand-in",
)
"""What trains the stand-in."""


class Begun(BaseException):
    """Raised where a command would begin to read data, weights or results."""


class Checker:
    """Checks commands in order, and remembers the models that they would train."""

    def __init__(self, folder: Path, stand_in: Mapping[str, Any]) -> None:
        self.folder, self.stand_in = folder, dict(stand_in)
        self.models: dict[str, dict[str, Any]] = {}
        self.reached = False

    def faults(self, args: Sequence[str]) -> str:
        """What the command says if it is refused, else an empty text."""
        out, err = io.StringIO(), io.StringIO()
        self.reached = False
        with ExitStack() as stack:
            for place in (
                chdir(self.folder),
                redirect_stdout(out),
                redirect_stderr(err),
                patch.dict("os.environ", environment()),
                patch.object(sys, "argv", ["mmtx", *args]),
                *self.stops(),
            ):
                stack.enter_context(place)
            try:
                status = main([*args])
            except Begun:
                self.reached, status = True, 0
        if status:
            return err.getvalue() or f"status {status}"
        shown = {"--help", "--cfg", "--version"} & {*args} or args[0] == "completion"
        return "" if self.reached or shown else "not checked: it ended before it began"

    def stops(self) -> list[Any]:
        """What ends each command where it would begin."""
        return [
            patch("hydra._internal.hydra.Hydra.get_mode", nothing),  # composes once more
            patch("mmtx_cli.command.training.train", self.trained),
            patch("mmtx_cli.command.training.plan_run", lambda run, before: self.trained(run)),
            *(patch(f"mmtx_cli.command.{name}.plan_run", begin) for name in ("eval", "caption")),
            *(
                patch(f"mmtx_cli.command.{name}.find_size", lambda *_: 32)
                for name in ("training", "eval", "caption")
            ),
            patch("mmtx_cli.runs.resolve.resume_config", begin),
            patch("mmtx_cli.command.eval.evaluate", begin),
            patch("mmtx_cli.command.caption.caption", begin),
            patch("mmtx_cli.command.predict.predict", begin),
            patch("mmtx_cli.command.predict.candidate_texts", none),
            *(
                patch(f"mmtx_cli.command.{name}.input_files", none)
                for name in ("caption", "predict")
            ),
            *(
                patch(f"mmtx_cli.{name}.read_config", self.stored)
                for name in ("runs.resolve", "runs.vlm")
            ),
            patch("mmtx_cli.runs.vlm.picture_size", lambda weights: (224, "crop")),
            patch("mmtx_cli.runs.vlm.write_model_folder", lambda cfg: "published"),
            *(
                patch(f"mmtx_cli.{name}.check_exists", nothing)
                for name in ("runs.check", "command.eval", "command.predict")
            ),
            *(
                patch(f"mmtx_cli.{name}.cache_faults", none)
                for name in ("runs.check", "command.eval")
            ),
            patch("mmtx_cli.command.compare.open_run", opened),
            patch("mmtx_cli.command.compare.find_runs", begin),
            patch("mmtx_cli.comparison.scheduler.run_all", begin),
            patch("mmtx_cli.command.score.score", begin),
            patch("mmtx_cli.command.export.read_config", begin),
            patch("mmtx_cli.command.data_check.check_manifest", begin),
            patch("mmtx_cli.command.data_import.import_", begin),
            patch("mmtx_cli.command.data_shard.pack", begin),
            patch("mmtx_cli.command.data_index.index", begin),
            patch("mmtx_cli.synthetic.dataset_writer.BuiltIn.make", begin),
            patch("mmtx_cli.inference.fill_cache.cache", begin),
            patch("mmtx_cli.server.run.serve", begin),
        ]

    def trained(self, run: TrainConfig) -> None:
        """Remember a model. The other jobs of a sweep are still to be checked."""
        plain = run.plain
        self.models[key_of(plain["run_dir"])] = stored_config(plain)
        self.reached = True

    def stored(self, path: object) -> dict[str, Any]:
        """The config of a trained model."""
        return deepcopy(self.models.get(key_of(str(path)), self.stand_in))


def stand_in(folder: Path) -> dict[str, Any]:
    """The config of a model of which nothing is known."""
    checker = Checker(folder, {})
    assert not (fault := checker.faults(ANY)), fault
    (model,) = checker.models.values()
    return model


def stored_config(plain: Mapping[str, Any]) -> dict[str, Any]:
    """What a model folder says of a model that is trained with this configuration."""
    encoders = {name: node for name, node in plain["encoder"].items() if node}
    heads = {name: node for name, node in plain["head"].items() if node}
    data = {key: plain["data"][key] for key in DATA_KEYS if key in plain["data"]}
    sizes = {key: plain[key] for key in ROOT_KEYS}
    return {
        "model": {
            "dim": plain["dim"],
            "encoder": encoders,
            "fusion": plain["fusion"],
            "connector": plain["connector"],
            "decoder": plain["decoder"],
            "head": heads,
            "generation": plain["generation"],
        },
        "preparation": {**asdict(Preprocessing()), **sizes, **data},
        "label_names": ["a", "b"],
        "multi_label": False,
        "answer_names": ["yes", "no"],
        "data": {"path": plain["data"].get("path"), "mixture": None},
        "seed": plain["seed"],
    }


def key_of(run_dir: str) -> str:
    """One model for all runs of a loop, of which only the first is checked."""
    return without_numbers(os.path.abspath(run_dir))


def begin(*_: object, **__: object) -> Any:
    raise Begun


def opened(plain: Mapping[str, Any]) -> Path:
    """The run folder, as ``open_run`` makes it."""
    folder = Path(plain["run_dir"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def nothing(*_: object, **__: object) -> None: ...


def none(*_: object) -> tuple[()]:
    return ()
