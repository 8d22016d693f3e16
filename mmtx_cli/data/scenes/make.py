"""The built-in data set: scenes drawn, described and asked about, the same for a seed anywhere."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

from mmtx_cli.data.card import read_card
from mmtx_cli.data.progress import track
from mmtx_cli.data.scenes.draw import draw
from mmtx_cli.data.scenes.grammar import captions, question
from mmtx_cli.data.scenes.scene import COLOURS, PAIRS, SHAPES, Pair, sample_scene
from mmtx_cli.data.write import write_manifest
from mmtx_cli.error import ConfigError

# counts up when the same arguments would give other pictures or words
_VERSION = 1
_NUM_UNSEEN = 5
_MIN_NUM, _MIN_SIZE = 10, 32
_CONTENT = {"scenes.jsonl", "scenes.yaml", "images"}


def make_scenes(
    folder: str | Path,
    num: int = 2000,
    size: int = 96,
    seed: int = 0,
    workers: int | None = None,
) -> Path:
    """Make ``num`` scenes of ``size`` pixels a side in ``folder``; return the manifest's path.

    Splits are 80/10/10. A few pairs of colour and shape occur in no training or validation
    scene, and in every second test scene (``group`` "unseen"): whether a model composes what it
    has learnt shows there. A folder already made with the same arguments is used as it is; one
    of other arguments is replaced, once the new one is complete.

    Raises:
        ConfigError: if the numbers are too small, or the folder holds other things.
    """
    if num < _MIN_NUM or size < _MIN_SIZE or seed < 0:
        raise ConfigError(
            f"num={num} size={size} seed={seed}: the built-in data need num >= {_MIN_NUM}, "
            f"size >= {_MIN_SIZE} and seed >= 0"
        )
    folder = Path(folder)
    made_with = {"version": _VERSION, "num": num, "size": size, "seed": seed}
    if _is_complete(folder, made_with):
        return folder / "scenes.jsonl"
    _check_replaceable(folder)
    target = Path(os.path.realpath(folder))
    fresh = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        _build(fresh, made_with, workers)
        _swap(fresh, target, made_with)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder / "scenes.jsonl"


def unseen_pairs(seed: int) -> list[Pair]:
    """Return the pairs kept out of training: no colour and no shape twice among them."""
    random = Random(f"unseen {seed}")
    colours, shapes = random.sample(COLOURS, _NUM_UNSEEN), random.sample(SHAPES, _NUM_UNSEEN)
    return list(zip(colours, shapes, strict=True))


def split_of(index: int, num: int) -> str:
    """Return the split of a scene: the last tenth is test, the tenth before it val."""
    tenth = round(num / 10)
    if index >= num - tenth:
        return "test"
    return "val" if index >= num - 2 * tenth else "train"


def _build(folder: Path, made_with: dict[str, int], workers: int | None) -> None:
    num = made_with["num"]
    (folder / "images").mkdir(parents=True)
    threads = workers or os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        rows: Iterator[dict[str, Any]] = pool.map(
            lambda index: _make_one(folder, index, **made_with), range(num)
        )
        write_manifest(folder / "scenes.jsonl", track(rows, num, "scenes"), card=_card(made_with))


def _make_one(folder: Path, index: int, num: int, size: int, seed: int, **_: int) -> dict[str, Any]:
    """Draw one scene and return its row: a function of (seed, index, num, size) alone."""
    random = Random(f"scene {seed} {index}")
    split, unseen = split_of(index, num), unseen_pairs(seed)
    seen = [pair for pair in PAIRS if pair not in unseen]
    is_unseen = split == "test" and index % 2 == 1
    scene = sample_scene(random, seen, must=unseen if is_unseen else ())
    path = f"images/{index:05d}.jpg"
    picture = draw(scene, size, random.randrange(2**32))
    picture.save(folder / path, "JPEG", quality=92, subsampling=0)
    # training never names an unseen pair, not even to deny it
    asked, answer = question(scene, random, PAIRS if split == "test" else seen)
    return {
        "id": f"scene{index:05d}",
        "split": split,
        "image": path,
        "text": asked,
        "captions": captions(scene, random),
        "label": scene.things[0].shape,
        "answers": {answer: 10},
        "group": "unseen" if is_unseen else "seen",
    }


def _card(made_with: dict[str, int]) -> dict[str, Any]:
    return {
        "description": (
            "Drawn scenes of one or two things; five captions, a question with its answer, and "
            "as label the shape of the largest thing. Test rows of the group unseen show a pair "
            "of colour and shape that occurs nowhere in training."
        ),
        "source": "made by `mmtx data action=make name=scenes`",
        "licence": "CC0-1.0",
        "root": ".",
        "label_names": list(SHAPES),
        "unseen_pairs": [" ".join(pair) for pair in unseen_pairs(made_with["seed"])],
        "made_with": made_with,
    }


def _is_complete(folder: Path, made_with: dict[str, int]) -> bool:
    if not (folder / "scenes.jsonl").is_file():
        return False
    card = read_card(folder / "scenes.yaml")
    if card.other.get("made_with") != made_with:
        return False
    images = folder / "images"
    return images.is_dir() and len(os.listdir(images)) == made_with["num"]


def _check_replaceable(folder: Path) -> None:
    """Refuse to replace anything but an empty folder or an earlier set of scenes."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"out={folder}: is a file; give a folder")
    others = sorted(set(os.listdir(folder)) - _CONTENT)
    ours = "made_with" in read_card(folder / "scenes.yaml").other
    if others or (any(folder.iterdir()) and not ours):
        held = ", ".join(others[:3] or sorted(os.listdir(folder))[:3])
        raise ConfigError(f"out={folder}: holds other files ({held}); give a new or empty folder")


def _swap(fresh: Path, target: Path, made_with: dict[str, int]) -> None:
    # another process may have made the same set meanwhile: then theirs, perhaps in use, stays
    if _is_complete(target, made_with):
        return
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        if target.exists():
            os.rename(target, old)
        os.rename(fresh, target)
    except OSError:
        if not _is_complete(target, made_with):
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)
