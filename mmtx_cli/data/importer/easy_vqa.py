"""Import of easy-VQA, synthetic shapes with questions, from the PyPI package ``easy-vqa``.

Source: Victor Zhou, https://github.com/vzhou842/easy-VQA (MIT). ``questions.json`` in ``train``
and in ``test`` is a list of [question, answer, image number].
"""

from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.formats.json_file import read_json
from mmtx_cli.data.importer.found import Found, staging_of
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.paths import image_folder
from mmtx_cli.data.manifest.splits import split_of
from mmtx_cli.errors import ConfigError, DataError, truncate

HELD_OUT = 0.05
"""Fraction of the training images whose questions are used for validation."""


def read(settings: Settings) -> Found:
    """Return the rows of a folder, by default of that of the package."""
    given = {**settings, "images": settings["images"] or str(package_folder())}
    folder = image_folder(given)
    return Found(rows(folder, settings["seed"]), [folder], staging_of(settings))


def package_folder() -> Path:
    """Return the folder ``data`` of the installed package.

    Raises:
        ConfigError: if the package is not installed.
    """
    spec = find_spec("easy_vqa")
    if spec is None or spec.origin is None:
        raise ConfigError(
            "importer=easy_vqa: the package with the images and questions is not installed "
            "(easy-vqa): pip install mmtx[easy-vqa]"
        )
    return Path(spec.origin).parent / "data"


def rows(folder: str | Path, seed: int = 0) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield one row per question, with its location in the file.

    About 5 % of the training images are held out for validation by a hash of (seed, image), so
    that all questions about an image are in the same split.

    Raises:
        DataError: naming the entry, e.g. ``[17]``, if it is not a question.
    """
    for part in ("train", "test"):
        path = Path(folder) / part / "questions.json"
        content = read_json(path, "set images= to the folder that contains train and test")
        if not isinstance(content, list) or not content:
            raise DataError(f"{path}: not a list of questions; use the easy-VQA data")
        faults = [
            f"{path}: [{number}]: {entry!r:.60} is not [question, answer, image]; fix the entry"
            for number, entry in enumerate(content)
            if not _is_question(entry)
        ]
        if faults:
            raise DataError(*truncate(faults))
        question_counts: Counter[int] = Counter()
        for number, (question, answer, image) in enumerate(content):
            question_counts[image] += 1
            row = {
                "id": f"{part}-{image}-{question_counts[image]}",
                "split": part if part == "test" else _held_out(image, seed),
                "image": str(Path(folder) / part / "images" / f"{image}.png"),
                "text": question,
                "label": answer,
                "answers": {answer: 1},
            }
            yield f"{path}: [{number}]", row


def _held_out(image: int, seed: int) -> str:
    return split_of(f"image {image}", {"train": 1 - HELD_OUT, "val": HELD_OUT}, seed)


def _is_question(entry: Any) -> bool:
    if not isinstance(entry, list) or len(entry) != 3:
        return False
    question, answer, image = entry
    texts = all(isinstance(text, str) and text.strip() for text in (question, answer))
    return texts and type(image) is int
