"""What does the thing do first? Seven movements in the built-in films, told apart by ten lines of
NumPy and by the video encoders that train from scratch.

``python tests/benchmark/first_movement.py [--seeds 1 2 3] [--num 4000]``
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from mmtx_cli.data.events import make_events
from mmtx_cli.data.events.attributes import attributes
from tests.encoder.lab import accuracy, configured, decoded, trained

SIZES = {"patch_size": 16, "width": 128, "depth": 2, "num_heads": 4}
ENCODERS = {
    "video/vit": SIZES,
    "video/vit patch": {**SIZES, "stem": "patch"},
    "video/frames": {"width": 128, "depth": 2, "image": SIZES},
}
STEPS = 900


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
        for encoder in args.encoders:
            for seed in args.seeds:
                begun = time.perf_counter()
                model, curve = trained(settings(path, encoder), data, "video", seed, STEPS)
                seconds = time.perf_counter() - begun
                print(
                    f"{encoder} seed {seed}: {accuracy(model, data.test):.3f} in {seconds:.0f} s; "
                    f"validation {curve}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
