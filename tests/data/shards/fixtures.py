"""A small data set of pictures, sounds and videos, and the same in shards."""

import json

import numpy as np
import pytest
import soundfile
from PIL import Image

from tests.data_action import run_action
from tests.media.numbered import write as write_video

WORDS = ["red", "green", "blue", "old", "new"]


def write_media(folder, num=24, size=40):
    """Write a manifest of pictures; every fourth row has a sound, every sixth a video."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    rows = []
    for i in range(num):
        pixels = rng.integers(0, 256, (size, size + i, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.jpg", quality=90)
        row = {
            "id": f"a{i}",
            "split": "train" if i % 5 else "val",
            "image": f"{i}.jpg",
            "captions": [f"a {WORDS[i % 5]} thing", "another caption"],
            "label": "even" if i % 2 == 0 else "odd",
            "mine": i,
        }
        if i % 4 == 0:
            wave = rng.standard_normal(1600).astype(np.float32) * 0.1
            soundfile.write(folder / f"{i}.wav", wave, 16000, subtype="PCM_16")
            row["audio"] = f"{i}.wav"
        if i % 6 == 0:
            row["video"] = write_video(folder / f"{i}.mp4", range(8)).rpartition("/")[2]
            row["image"] = [f"{i}.jpg", f"{(i + 1) % num}.jpg"]
        rows.append(row)
    manifest = folder / "mine.jsonl"
    manifest.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return manifest


def pack(manifest, out, **settings):
    """Pack a manifest; return the new one."""
    run_action("shard", manifest=str(manifest), out=str(out), **settings)
    return out / manifest.name


@pytest.fixture(scope="session")
def media_rows(tmp_path_factory):
    """A manifest of 24 rows with pictures, sounds and videos."""
    return write_media(tmp_path_factory.mktemp("shard_media") / "files")


@pytest.fixture(scope="session")
def packed_rows(media_rows):
    """The same rows in several shards, in the order of the files' manifest within each split."""
    out = media_rows.parent.parent / "packed"
    return pack(media_rows, out, shard_size=0.02, shuffle=False)
