"""The files that the pages call a reader's own: tiny ones, made of the built-in data."""

import json
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mmtx_cli.synthetic.events import make_events
from mmtx_cli.synthetic.scenes import make_scenes

Row = Mapping[str, Any]


def make(folder: Path) -> None:
    """Write every file that a block marked ``<!-- run -->`` reads."""
    pictures = rows(make_scenes(folder / "own", num=60, size=32, seed=0, workers=1))
    films = rows(make_events(folder / "films", num=40, size=32, seed=0, workers=1))
    for row in pictures:
        row["image"] = f"own/{row['image']}"
    for row in films:
        row |= {key: f"films/{row[key]}" for key in ("image", "video", "audio") if row.get(key)}
    write(folder / "pairs.jsonl", only(pictures, "image", "captions"))
    write(folder / "videos.jsonl", only(films, "video", "audio", "captions"))
    write(folder / "labeled.jsonl", only(pictures, "image", "text", "label"))
    write(folder / "vqa.jsonl", only(pictures, "image", "text", "answers"))
    numbered = [{**row, "label": float(i % 7)} for i, row in enumerate(pictures)]
    write(folder / "prices.jsonl", only(numbered, "image", "text", "label"))
    write(folder / "new.jsonl", only(pictures[:4], "image", "text"))
    np.save(folder / "text.npy", np.random.default_rng(0).normal(size=(60, 5)).astype("float32"))
    np.save(folder / "audio.npy", np.random.default_rng(1).normal(size=(60, 3)).astype("float32"))
    for i, row in enumerate(numbered):
        files = ("text", "audio")
        row["features"] = {name: {"path": f"{name}.npy", "row": i} for name in files}
    write(folder / "mosi.jsonl", only(numbered, "features", "label"))
    write(folder / "new_features.jsonl", only(numbered[:4], "features"))
    (folder / "photos").mkdir()
    for row in pictures[:4]:
        shutil.copy(folder / row["image"], folder / "photos")
    shutil.copy(
        folder / next(row["video"] for row in films if row.get("video")), folder / "holiday.mp4"
    )
    sounds = (row["audio"] for row in films if str(row.get("audio")).endswith(".wav"))
    shutil.copy(folder / next(sounds), folder / "rain.wav")
    texts = [(i, row["captions"][0]) for i, row in enumerate(pictures) if row.get("captions")]
    captions = [{"image_id": i, "caption": text} for i, text in texts]
    (folder / "captions.json").write_text(json.dumps({"annotations": captions}))
    (folder / "results.json").write_text(json.dumps(captions))
    ratings = [f"{row['image_id']},{1 + i % 4},{1 + i % 3}\n" for i, row in enumerate(captions)]
    (folder / "ratings.csv").write_text("id,rating_1,rating_2\n" + "".join(ratings))


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def only(found: Iterable[Row], *keys: str) -> list[Row]:
    return [{key: row[key] for key in ("id", "split", *keys) if row.get(key)} for row in found]


def write(path: Path, found: Iterable[Row]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
