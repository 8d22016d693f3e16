"""``mmtx demo``: the main job on the built-in data, from pictures to captions and a report."""

import os
import time
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from mmtx_cli.data.scenes.make import make_scenes
from mmtx_cli.error import ConfigError

SHOWN = 12
"""Held-out pictures that are captioned at the end."""


def run(cfg: DictConfig) -> None:
    """Make data, pre-train, fine-tune, evaluate, caption; one report shows it all."""
    from mmtx_cli.report.html import write_report

    begun = time.perf_counter()
    run_dir = Path(cfg.run_dir)
    if (run_dir / "pretrain").exists():
        raise ConfigError(f"run_dir={run_dir}: there is a demo in it already; name another folder")
    say(run_dir, 1, f"drawing {cfg.num} scenes with captions")
    manifest = make_scenes(run_dir / "data", num=cfg.num, size=96, seed=cfg.seed)
    data = [f"data.path={quoted(manifest)}", f"seed={cfg.seed}"]

    say(run_dir, 2, "pre-training: pictures and captions find each other")
    pretrained = step(
        run_dir, "pretrain", [*data, "experiment=scenes_pretrain", *cfg.overrides.pretrain]
    )
    say(run_dir, 3, "fine-tuning: a captioner on the pre-trained image encoder")
    captioner = step(
        run_dir,
        "finetune",
        [*data, "experiment=scenes_caption", f"ckpt={quoted(pretrained)}", *cfg.overrides.finetune],
    )
    say(run_dir, 4, "evaluating on held-out scenes, half with unseen pairs of colour and shape")
    evaluated = step(
        run_dir, "eval", [f"ckpt={quoted(captioner)}", f"seed={cfg.seed}", "floors=true"]
    )
    say(run_dir, 5, "captioning pictures")
    captioned = step(
        run_dir,
        "caption",
        [f"ckpt={quoted(captioner)}", f"inputs=[{','.join(map(quoted, held_out(manifest)))}]"],
    )
    sections = [
        ("Evaluation on held-out scenes", evaluated),
        ("Captions of single pictures", captioned),
        ("Fine-tuning", captioner),
        ("Pre-training", pretrained),
    ]
    report = write_report(run_dir, title="mmtx demo", sections=sections)
    console = Console(soft_wrap=True)
    console.print(f"\ndone in {time.perf_counter() - begun:.0f} s; open the report: {report}")
    console.print("next: your own data, see docs/data.md; all keys: mmtx finetune --help")
    print(run_dir)


def say(run_dir: Path, number: int, what: str) -> None:
    """Announce a step."""
    Console(stderr=True).rule(f"{number}/5 {what}", align="left")


def step(run_dir: Path, command: str, overrides: Sequence[str]) -> Path:
    """Run a command as the command line would, in a folder of the demo's."""
    from hydra import compose

    from mmtx_cli.override import opened

    folder = run_dir / command
    cfg = compose(command, opened([*overrides, f"run_dir={quoted(folder)}"]))
    OmegaConf.set_struct(cfg, False)
    import_module(f"mmtx_cli.command.{command}").run(cfg)
    return folder


def held_out(manifest: Path) -> list[str]:
    """Some pictures that no training saw."""
    from mmtx_cli.data.manifest import read_manifest

    rows = read_manifest(manifest).split("test")
    return [row.image[0] for row in rows[:: max(1, len(rows) // SHOWN)][:SHOWN]]


def quoted(path: Any) -> str:
    """A path as Hydra's grammar reads it."""
    return "'" + os.fspath(path).replace("\\", "\\\\").replace("'", "\\'") + "'"
