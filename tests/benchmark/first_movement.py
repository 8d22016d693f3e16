"""What does the thing do first? Seven movements in the built-in films, told apart by ten lines of
NumPy and by the video encoders that train from scratch, whole and with one part undone.

``python tests/benchmark/first_movement.py [--seeds 1 2 3] [--num 4000]``
``python tests/benchmark/first_movement.py --without``: what each part of the encoders is worth
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import nn

from mmtx_cli.layer.position import GridPosition
from mmtx_cli.synthetic.events import make_events
from mmtx_cli.synthetic.events.attributes import attributes
from tests.encoder.lab import accuracy, configured, decoded, trained

SIZES = {"patch_size": 16, "width": 128, "depth": 2, "num_heads": 4}
ENCODERS = {
    "video/vit": SIZES,
    "video/vit patch": {**SIZES, "stem": "patch"},
    "video/per_frame": {"width": 128, "depth": 2, "image": SIZES},
}
STEPS = 900


class Flattened(nn.Linear):
    """One projection of a tubelet's normalized pixels."""

    def forward(self, tubelets):
        """``tubelets`` [*b, c, p, p]."""
        return super().forward(tubelets.flatten(-3))


def one_projection(model):
    """A patch stem of a single linear layer (Dosovitskiy et al. 2021)."""
    stem = model.encoder["video"].stem
    channels, width = stem.stages[0].in_channels, stem.norm.normalized_shape[0]
    projection = Flattened(channels * stem.patch_size**2, width)
    stem.forward = projection.forward
    stem.projection = projection


def small_positions(model):
    """Places on the grid that begin as noise of 0.02 (Dosovitskiy et al. 2021)."""
    for module in model.modules():
        if isinstance(module, GridPosition):
            nn.init.normal_(module.grid, std=0.02)


def no_differences(model):
    """Moments without what changed since the one before."""
    model.encoder["video"].change.forward = lambda x, mask: torch.zeros_like(x)


def one_projection_and_small_positions(model):
    """As in the original vision Transformer."""
    one_projection(model)
    small_positions(model)


WITHOUT = {
    "video/vit": [small_positions, no_differences],
    "video/vit patch": [one_projection, one_projection_and_small_positions, no_differences],
    "video/per_frame": [small_positions, no_differences],
}
"""What of an encoder is undone, one thing at a time."""


def labeled(manifest):
    """A manifest of the films alone, with the first movement as the label."""
    rows = []
    for line in manifest.read_text().splitlines():
        row = json.loads(line)
        if row.get("video"):
            label = attributes(row["captions"][0])["first_movement"]
            kept = {key: row[key] for key in ("id", "split", "video")}
            rows.append(json.dumps({**kept, "label": label}))
    path = manifest.with_name("first_movement.jsonl")
    path.write_text("\n".join(rows) + "\n")
    return path


def baseline(frames):
    """Follow the center and the area of the pixels that differ from the corners' median color."""
    corners = frames[0][:, [0, 0, -1, -1], [0, -1, 0, -1]].astype(float)
    colored = np.abs(frames - np.median(corners, axis=1)[:, None, None]).max(axis=1) > 60
    first, last = colored[0], colored[len(colored) * 16 // 36 - 1]
    growth = last.sum() / max(1, first.sum())
    (y0, x0), (y1, x1) = (np.argwhere(part).mean(axis=0) for part in (first, last))
    size = frames.shape[-1]
    if max(abs(y1 - y0), abs(x1 - x0)) > 0.08 * size:
        if abs(x1 - x0) > abs(y1 - y0):
            return "right" if x1 > x0 else "left"
        return "down" if y1 > y0 else "up"
    return "grows" if growth > 1.25 else "shrinks" if growth < 0.8 else "stays"


def settings(path, encoder):
    """``experiment=encoder_lab`` at the films' size."""
    cfg = configured(path, encoder)
    change = {"image_size": 64, "num_frames": 8, "encoder": {"video": ENCODERS[encoder]}}
    return OmegaConf.merge(cfg, change)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--num", type=int, default=4000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--encoders", nargs="+", default=list(ENCODERS))
    parser.add_argument("--without", action="store_true", help="undo parts of the encoders")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--data", help="folder of the films (default: a temporary one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(args.data or folder) / "events"
        path = labeled(make_events(place, num=args.num, size=64))
        data = decoded(settings(path, "video/vit"), "video", draws=2)
        names = data.facts["label_names"]
        films = data.test.inputs["video"].data.numpy()
        right = [names[label] for label in data.test.targets["label"].tolist()]
        found = np.mean([baseline(f) == r for f, r in zip(films, right, strict=True)])
        print(f"{len(right)} test films; baseline {found:.3f}; chance {1 / len(names):.3f}")
        runs = [
            (encoder, change, seed)
            for encoder in args.encoders
            for change in (WITHOUT[encoder] if args.without else [None])
            for seed in args.seeds
        ]
        for encoder, change, seed in runs:
            begun = time.perf_counter()
            cfg = settings(path, encoder)
            model, curve = trained(cfg, data, "video", seed, args.steps, change)
            name = f"{encoder}, {change.__name__}" if change else encoder
            print(
                f"{name}, seed {seed}: {accuracy(model, data.test):.3f} in "
                f"{time.perf_counter() - begun:.0f} s; validation {curve}",
                flush=True,
            )


if __name__ == "__main__":
    main()
