"""The encoder lab: single-modality classification tasks with known answers."""

from collections.abc import Mapping
from functools import partial
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.suggest import closest
from mmtx_cli.synthetic.dataset_writer import BuiltIn, check_numbers, index_in_split, split_of
from mmtx_cli.synthetic.encoder_lab import audio, image, text, video
from mmtx_cli.synthetic.encoder_lab.task import Task
from mmtx_cli.synthetic.events.encode import write_video
from mmtx_cli.synthetic.events.soundtrack import write_sound

TASKS: Mapping[str, Task] = {
    task.name: task for task in (*image.TASKS, *video.TASKS, *audio.TASKS, *text.TASKS)
}

# increases when the same arguments would give other content
_VERSION = 1
_FOLDERS = {"image": "images", "video": "videos", "audio": "sounds"}
_SUFFIXES = {"image": ".png", "video": ".mp4", "audio": ".wav"}
_EXAMPLE = "mmtx data action=create dataset=encoder_lab task=image_color out=data/encoder_lab"


def make_encoder_lab(
    folder: str | Path,
    num: int = 2000,
    size: int = 32,
    seed: int = 0,
    workers: int | None = None,
    task: str | None = None,
) -> Path:
    """Make ``num`` labeled examples of a task in ``folder`` and return the manifest's path.

    The classes of every split are balanced: their sizes differ by at most one. No text occurs in
    two splits.

    Args:
        folder: Where the manifest, its card and the media files are written.
        num: Number of rows, 80/10/10 by split.
        size: Side of images and frames in pixels; even for videos.
        seed: Seed of everything that is random.
        workers: Number of processes; by default, the number of cores, or one for few rows.
        task: Name of the task, one of ``TASKS``.

    Raises:
        ConfigError: if the task is missing or unknown, the numbers are too small, the size of a
            video is odd, or the folder contains other files.
    """
    chosen = _find(task)
    check_numbers(num, size, seed)
    if chosen.modality == "video" and size % 2:
        raise ConfigError(f"size={size}: H.264 requires an even size, e.g. size={size + 1}")
    made_with = {"version": _VERSION, "task": task, "num": num, "size": size, "seed": seed}
    files = {_FOLDERS[chosen.modality]: num} if chosen.modality in _FOLDERS else {}
    lab = BuiltIn("encoder_lab", made_with, files, former=tuple(_FOLDERS.values()))
    make_row = partial(_make_row, task=chosen, num=num, size=size, seed=seed)
    return lab.make(Path(folder), make_row, _card(chosen), workers)


def _find(name: str | None) -> Task:
    if name is None:
        raise ConfigError(
            f"task is missing; dataset=encoder_lab takes {', '.join(TASKS)}\n  e.g. {_EXAMPLE}"
        )
    if name in TASKS:
        return TASKS[name]
    near = closest(str(name), TASKS, 0.6)
    hint = f"did you mean {near}?" if near else f"choose from: {', '.join(TASKS)}"
    raise ConfigError(f"task={name}: unknown dataset=encoder_lab task; {hint}")


def _make_row(
    folder: Path, index: int, task: Task, num: int, size: int, seed: int
) -> dict[str, Any]:
    """Write the media file of one row and return the row, a pure function of the arguments."""
    random = Random(f"encoder_lab {task.name} {seed} {index}")
    split = split_of(index, num)
    label = task.label_names[index_in_split(index, num) % len(task.label_names)]
    if task.modality == "text":
        content = _text(task, label, random, split)
    else:
        content = f"{_FOLDERS[task.modality]}/{index:05d}{_SUFFIXES[task.modality]}"
        _write(folder / content, task.modality, task.make(label, random, size))
    return {"id": f"{task.name}{index:05d}", "split": split, task.modality: content, "label": label}


def _write(path: Path, modality: str, content: Any) -> None:
    match modality:
        case "image":
            content.save(path)
        case "video":
            write_video(path, content, None)
        case "audio":
            write_sound(path, content)


def _text(task: Task, label: str, random: Random, split: str) -> str:
    """Sample texts until one belongs to the split; texts are split 80/10/10 by hash."""
    while True:
        sentence: str = task.make(label, random, 0)
        bucket = int.from_bytes(blake2b(sentence.encode(), digest_size=8).digest()) % 10
        if split == ("test" if bucket == 9 else "val" if bucket == 8 else "train"):
            return sentence


def _card(task: Task) -> dict[str, Any]:
    return {
        "description": f"{task.description}.",
        "source": f"made by `mmtx data action=create dataset=encoder_lab task={task.name}`",
        "license": "CC0-1.0",
        "root": ".",
        "label_names": list(task.label_names),
    }
