"""The fusion lab: images, sentences and sounds that encode one bit each."""

import math
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from mmtx_cli.errors import ConfigError
from mmtx_cli.suggest import closest
from mmtx_cli.synthetic.dataset_writer import BuiltIn, check_numbers, split_of
from mmtx_cli.synthetic.events.soundtrack import SAMPLE_RATE, write_sound
from mmtx_cli.synthetic.fusion_lab.task import LABELS, TASKS, trial
from mmtx_cli.synthetic.scenes.render import draw
from mmtx_cli.synthetic.scenes.scene import Scene, Thing

# increases when the same arguments would give other images, words or sounds
_VERSION = 1
_COLORS = ("blue", "red")
_SHAPES = {True: "circle", False: "triangle"}
_VERBS = (("falls", "sinks", "drops"), ("rises", "climbs", "soars"))
_NOUNS = ("kite", "price", "lift", "tide", "moon", "curtain", "river", "smoke")
_SURE = {True: ("clearly", "of course", "surely"), False: ("perhaps", "maybe", "possibly")}
_PITCHES = (300.0, 1500.0)
_SECONDS, _BEEP = 0.5, 0.2


def make_lab(
    folder: str | Path,
    num: int = 2000,
    size: int = 32,
    seed: int = 0,
    workers: int | None = None,
    task: str = "xor",
) -> Path:
    """Make ``num`` trials of a task in ``folder`` and return the manifest's path.

    An image encodes its bit by color (blue, red), and by shape whether it is certain (circle) or
    not (triangle); a sentence does so by verb (falls, rises) and adverb; a sound of half a second
    encodes its bit by pitch. Position, size, noun and onset carry no information.

    Args:
        folder: Where the manifest, its card and the media files are written.
        num: Number of rows, 80/10/10 by split.
        size: Side of the images in pixels.
        seed: Seed of everything that is random.
        workers: Number of processes; by default, the number of cores, or one for few rows.
        task: Name of the task, one of ``TASKS``.

    Raises:
        ConfigError: if the task is unknown, the numbers are too small, or the folder contains other
            files.
    """
    check_numbers(num, size, seed)
    if task not in TASKS:
        near = closest(str(task), TASKS)
        hint = f"did you mean {near!r}?" if near else f"choose from: {', '.join(TASKS)}"
        raise ConfigError(f"task={task}: unknown task; {hint}")
    made_with = {"version": _VERSION, "task": task, "num": num, "size": size, "seed": seed}
    lab = BuiltIn("fusion_lab", made_with, {"images": num, "sounds": num})
    make_row = partial(_make_row, task=task, num=num, size=size, seed=seed)
    return lab.make(Path(folder), make_row, _card(task), workers)


def _make_row(
    folder: Path, index: int, task: str, num: int, size: int, seed: int
) -> dict[str, Any]:
    """Write the files of one trial and return its row, a pure function of the arguments."""
    random = Random(f"lab {task} {seed} {index}")
    sample = trial(task, random)
    image, sound = f"images/{index:05d}.png", f"sounds/{index:05d}.wav"
    draw(_scene(sample.image, sample.image_sure, random), size, random.randrange(2**32)).save(
        folder / image
    )
    write_sound(folder / sound, _beep(_PITCHES[sample.audio], random))
    noun, verb = random.choice(_NOUNS), random.choice(_VERBS[sample.text])
    return {
        "id": f"trial{index:05d}",
        "split": split_of(index, num),
        "image": image,
        "audio": sound,
        "text": f"{random.choice(_SURE[sample.text_sure])} the {noun} {verb}",
        "label": LABELS[sample.answer],
    }


def _scene(bit: int, sure: bool, random: Random) -> Scene:
    x, y, radius = random.uniform(0.35, 0.65), random.uniform(0.35, 0.65), random.uniform(0.2, 0.3)
    angle = random.uniform(0, 2 * math.pi)
    thing = Thing(_COLORS[bit], _SHAPES[sure], "large", x, y, radius, angle)
    return Scene((thing,), relation=None, place=None)


def _beep(pitch: float, random: Random) -> np.ndarray:
    """Return half a second of faint noise with a beep at a random time, as 16-bit samples."""
    noise = np.random.RandomState(random.randrange(2**32))
    audio = noise.standard_normal(round(_SECONDS * SAMPLE_RATE)) * 0.01
    first = round(random.uniform(0, _SECONDS - _BEEP) * SAMPLE_RATE)
    t = np.arange(round(_BEEP * SAMPLE_RATE)) / SAMPLE_RATE
    audio[first : first + len(t)] += (
        0.3 * np.sin(2 * np.pi * pitch * random.uniform(0.9, 1.1) * t) * np.sin(np.pi * t / _BEEP)
    )
    return np.clip(np.rint(audio * 32767), -32768, 32767).astype(np.int16)


def _card(task: str) -> dict[str, Any]:
    return {
        "description": f"Images, sentences and sounds that encode one bit each; {TASKS[task]}.",
        "source": f"made by `mmtx data action=create dataset=fusion_lab task={task}`",
        "license": "CC0-1.0",
        "root": ".",
        "label_names": list(LABELS),
    }
