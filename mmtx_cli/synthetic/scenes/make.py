"""The scenes data set: rendered images with captions and questions, determined by the seed."""

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from mmtx_cli.synthetic.dataset_writer import BuiltIn, check_numbers, split_of
from mmtx_cli.synthetic.scenes.grammar import captions, question
from mmtx_cli.synthetic.scenes.render import draw
from mmtx_cli.synthetic.scenes.scene import COLORS, PAIRS, SHAPES, Pair, Scene, sample_scene

# increases when the same arguments would give other images or words
_VERSION = 2
_NUM_UNSEEN = 5


def make_scenes(
    folder: str | Path,
    num: int = 2000,
    size: int = 96,
    seed: int = 0,
    workers: int | None = None,
) -> Path:
    """Make ``num`` scenes in ``folder`` and return the manifest's path.

    A few pairs of color and shape occur in no training or validation scene, but in every second
    test scene (``group`` "unseen"), to test compositional generalization. A folder already made
    with the same arguments is reused; one with other arguments is replaced once the new one is
    complete.

    Args:
        folder: Where the manifest, its card and the images are written.
        num: Number of rows, 80/10/10 by split.
        size: Side of the images in pixels.
        seed: Seed of everything that is random.
        workers: Number of processes; by default, the number of cores, or one for few rows.

    Raises:
        ConfigError: if the numbers are too small, or the folder contains other files.
    """
    check_numbers(num, size, seed)
    made_with = {"version": _VERSION, "num": num, "size": size, "seed": seed}
    scenes = BuiltIn("scenes", made_with, files={"images": num})
    make_row = partial(_make_row, num=num, size=size, seed=seed)
    return scenes.make(Path(folder), make_row, _card(seed), workers)


def unseen_pairs(seed: int) -> list[Pair]:
    """Return the pairs held out of training; no color and no shape occurs twice among them."""
    random = Random(f"unseen {seed}")
    colors, shapes = random.sample(COLORS, _NUM_UNSEEN), random.sample(SHAPES, _NUM_UNSEEN)
    return list(zip(colors, shapes, strict=True))


def _make_row(folder: Path, index: int, num: int, size: int, seed: int) -> dict[str, Any]:
    """Render one scene and return its row, a pure function of (seed, index, num, size)."""
    random = _random(index, seed)
    split, unseen = split_of(index, num), unseen_pairs(seed)
    training_pairs = [pair for pair in PAIRS if pair not in unseen]
    is_unseen = has_unseen(index, num)
    scene = _sampled(random, index, num, seed)
    path = f"images/{index:05d}.jpg"
    picture = draw(scene, size, random.randrange(2**32))
    picture.save(folder / path, "JPEG", quality=92, subsampling=0)
    # training never names an unseen pair, not even to deny it
    question_text, answer = question(scene, random, PAIRS if split == "test" else training_pairs)
    return {
        "id": f"scene{index:05d}",
        "split": split,
        "image": path,
        "text": question_text,
        "captions": captions(scene, random),
        "label": scene.things[0].shape,
        "answers": {answer: 10},
        "group": "unseen" if is_unseen else "seen",
    }


def scene_of(index: int, num: int, seed: int = 0) -> Scene:
    """Return the scene of a row of ``make_scenes``: where each thing is.

    Args:
        index: Number of the row.
        num: Number of rows.
        seed: Seed of the data set.
    """
    return _sampled(_random(index, seed), index, num, seed)


def has_unseen(index: int, num: int) -> bool:
    """Return whether a row shows a pair that does not occur in training."""
    return split_of(index, num) == "test" and index % 2 == 1


def _random(index: int, seed: int) -> Random:
    return Random(f"scene {seed} {index}")


def _sampled(random: Random, index: int, num: int, seed: int) -> Scene:
    unseen = unseen_pairs(seed)
    pairs = [pair for pair in PAIRS if pair not in unseen]
    return sample_scene(random, pairs, must=unseen if has_unseen(index, num) else ())


def _card(seed: int) -> dict[str, Any]:
    return {
        "description": (
            "Rendered scenes of one or two objects; five captions, a question with its answer, "
            "and as label the shape of the largest object. Test rows of the group unseen show a "
            "combination of color and shape that does not occur in training."
        ),
        "source": "made by `mmtx data action=create dataset=scenes`",
        "license": "CC0-1.0",
        "root": ".",
        "label_names": list(SHAPES),
        "unseen_pairs": [" ".join(pair) for pair in unseen_pairs(seed)],
    }
