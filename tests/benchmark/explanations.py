"""How often the heat map of a word for a color or shape has its peak inside that shape.

    python tests/benchmark/explanations.py CKPT SCENES [--split test] [--method gradient]

SCENES is the manifest of the data set scenes that the captioner CKPT was trained on. Prints one
JSON object: ``words``, the share of such words in the generated captions whose peak lies on the
pixels of the shape that they name (of a ring, also in its hole); the same for colors and for
shapes; ``scenes``, the share of scenes in which that holds for all such words; ``other``, the share
of the words in scenes with two shapes whose peak lies on the other one; ``chance``, the share of
the picture that the named shapes cover. Words that name nothing in the scene do not count;
``wrong`` is their number.
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from mmtx_cli.config.conf_tree import conf_dir
from mmtx_cli.config.overrides import force_add
from mmtx_cli.data.loader import EvaluationSampler, make_loader
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.data.pieces import Piece
from mmtx_cli.explanation.explain import Explanation, explain
from mmtx_cli.inference.inputs import InputReader
from mmtx_cli.inference.predict import load_model
from mmtx_cli.io.checkpoint import read_config
from mmtx_cli.io.quoting import quoted
from mmtx_cli.runs.inherit import inherit
from mmtx_cli.runs.resolve import frozen_config
from mmtx_cli.runs.run_config import CaptionConfig
from mmtx_cli.synthetic.scenes.make import scene_of
from mmtx_cli.synthetic.scenes.render import cut_out
from mmtx_cli.synthetic.scenes.scene import COLORS, SHAPES, Thing

SIDE = 96
KINDS = {"color": COLORS, "shape": SHAPES}


def settings(ckpt: str) -> CaptionConfig:
    """Return the settings of ``mmtx caption`` for a trained model."""
    with initialize_config_dir(str(conf_dir().absolute()), version_base="1.3"):
        cfg = compose("caption", force_add([f"ckpt={quoted(ckpt)}"]))
    OmegaConf.set_struct(cfg, False)
    stored = read_config(ckpt)
    inherit(cfg, stored)
    return frozen_config(CaptionConfig, cfg, stored)


def explained(run: CaptionConfig, files: list[str], method: str) -> Iterator[Explanation]:
    """Yield the explanation of the caption of each file."""
    model, reader = load_model(run, torch.device("cpu")), InputReader.of(run)
    (head,) = model.head
    samples = reader.files([Piece(file) for file in files], files, None)
    assert reader.tokenizer is not None
    for batch in make_loader(samples, EvaluationSampler(samples, 40), 0):
        tokens = model.predict(batch)[head]["tokens"][:, 0]
        yield from explain(model, batch, tokens, reader.tokenizer, method)


def covered(thing: Thing) -> np.ndarray:
    """Return which pixels of a square picture a thing covers; a ring with its hole."""
    filled = replace(thing, shape="circle") if thing.shape == "ring" else thing
    return np.asarray(cut_out([filled], SIDE).getchannel("A")) > 0


def is_on(peak: tuple[float, float], mask: np.ndarray) -> bool:
    """Return whether a place, in fractions of the picture, is on a mask."""
    return bool(mask[int(peak[0] * SIDE), int(peak[1] * SIDE)])


def measured(ckpt: str, manifest: Path, split: str, method: str, most: int) -> dict[str, Any]:
    """Return the shares.

    Args:
        ckpt: The captioner.
        manifest: The scenes.
        split: Which of them.
        method: Of the explanation.
        most: Number of scenes.
    """
    made_with = yaml.safe_load(manifest.with_suffix(".yaml").read_text())["made_with"]
    rows = read_manifest(manifest).split(split)[:most]
    hits: dict[str, list[bool]] = {"words": [], "color": [], "shape": [], "other": []}
    scenes, chance, wrong = [], [], 0
    found = explained(settings(ckpt), [row.image[0] for row in rows], method)
    for row, own in zip(rows, found, strict=True):
        index = int(row.id.removeprefix("scene"))
        things = scene_of(index, made_with["num"], made_with["seed"]).things
        right = []
        for word, heat in zip(own.words, own.maps["image"], strict=True):
            kind = next((kind for kind, names in KINDS.items() if word in names), None)
            if kind is None:
                continue
            named = [thing for thing in things if getattr(thing, kind) == word]
            if not named:
                wrong += 1
                continue
            y, x = divmod(int(heat.argmax()), heat.shape[1])
            peak = (y + 0.5) / heat.shape[0], (x + 0.5) / heat.shape[1]
            right.append(is_on(peak, covered(named[0])))
            hits[kind].append(right[-1])
            chance.append(covered(named[0]).mean())
            hits["other"] += [is_on(peak, covered(t)) for t in things if t is not named[0]]
        hits["words"] += right
        scenes.append(all(right))
    shares = {name: round(float(np.mean(values)), 3) for name, values in hits.items()}
    more = {"scenes": round(float(np.mean(scenes)), 3), "chance": round(float(np.mean(chance)), 3)}
    return {"method": method, **shares, **more, "count": len(hits["words"]), "wrong": wrong}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ckpt", help="a captioner of scenes")
    parser.add_argument("scenes", type=Path, help="the manifest of the scenes")
    parser.add_argument("--split", default="test")
    parser.add_argument("--method", default="gradient")
    parser.add_argument("--most", type=int, default=10**9, help="number of scenes")
    given = parser.parse_args()
    found = measured(given.ckpt, given.scenes, given.split, given.method, given.most)
    print(json.dumps(found))
