"""Import of VQA (Antol et al. 2015; v2: Goyal et al. 2017) questions and annotations.

Format: https://visualqa.org/download.html (v2_OpenEnded_mscoco_train2014_questions.json,
v2_mscoco_train2014_annotations.json). The images are those of COCO 2014 and 2015.
"""

from collections import Counter
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.formats.json_file import is_id, read_json
from mmtx_cli.data.importer.found import Found, staging_of
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.paths import by_split, example_of, image_folders
from mmtx_cli.errors import ConfigError, DataError, truncate

_FIX = "fix the entry, or download the file again"


def read(settings: Settings) -> Found:
    """Return the rows of one file of questions, or of one per split, with answers if there are."""
    questions = by_split("questions", settings)
    folders = image_folders(settings, questions)
    told = by_split("annotations", settings) if settings["annotations"] else {}
    if other := told.keys() - questions.keys():
        raise ConfigError(
            f"annotations.{min(other)}: no questions for this split{example_of(settings)}"
        )
    found = (rows(file, told.get(s), folders[s], s) for s, file in questions.items())
    return Found(chain.from_iterable(found), folders.values(), staging_of(settings))


def rows(
    questions: str | Path, annotations: str | Path | None, images: str | Path, split: str
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield one row per question, with its location in the file; the id is VQA's question id.

    With annotations, ``answers`` counts the annotators per answer (ten in total), and ``group``
    is the answer type (yes/no, number, other), by which VQA reports accuracy.

    Args:
        questions: The JSON file of questions.
        annotations: The JSON file of answers, or None, as for the test questions.
        images: Folder that image paths are relative to.
        split: The split of all rows.

    Raises:
        DataError: naming the entry, e.g. ``questions[17]``, if a file is not a VQA file.
    """
    content = _content(questions, "questions", "a VQA questions file")
    name_format = _image_name_format(questions, content)
    faults: list[str] = []
    locations: dict[object, str] = {}
    found: list[tuple[str, dict[str, Any]]] = []
    for number, entry in enumerate(content["questions"]):
        place = f"{questions}: questions[{number}]"
        if fault := _fault(entry):
            faults.append(f"{place}: {fault}; {_FIX}")
            continue
        ident = entry["question_id"]
        if ident in locations:
            faults.append(
                f"{place}: question_id {ident!r} is already used at {locations[ident]}; {_FIX}"
            )
            continue
        locations[ident] = place
        row = {
            "id": str(ident),
            "split": split,
            "image": str(Path(images) / name_format.format(int(entry["image_id"]))),
            "text": " ".join(entry["question"].split()),
        }
        found.append((place, row))
    answers = {} if annotations is None else _read_answers(annotations, locations, faults)
    if faults:
        raise DataError(*truncate(faults))
    for (place, row), ident in zip(found, locations, strict=True):
        yield place, row | answers.get(ident, {})


def _content(path: str | Path, key: str, what: str) -> dict[str, Any]:
    content = read_json(path, f"set {key}= to {what}")
    if not isinstance(content, dict) or not isinstance(content.get(key), list):
        raise DataError(f"{path}: no list {key!r}; use {what}")
    if not content[key]:
        raise DataError(f"{path}: the list {key!r} is empty; use {what}")
    return content


def _image_name_format(path: str | Path, content: dict[str, Any]) -> str:
    """Return the format string of image file names by image id, as in COCO's archives.

    The test-dev2015 questions are a subset of those about the test2015 images.
    """
    subtype, kind = content.get("data_subtype"), content.get("data_type", "mscoco")
    if not isinstance(subtype, str) or not subtype or not is_id(subtype):
        raise DataError(
            f"{path}: no data_subtype (train2014, val2014, test2015), the prefix of the image "
            "names; add it to the file"
        )
    if kind != "mscoco":
        raise DataError(f"{path}: data_type {kind!r}: only mscoco questions can be imported")
    plain = subtype.replace("test-dev", "test").replace("{", "{{").replace("}", "}}")
    return f"COCO_{plain}_{{:012d}}.jpg"


def _fault(entry: Any) -> str | None:
    """Return what is wrong with a question, or None."""
    if not isinstance(entry, dict) or not is_id(entry.get("question_id")):
        return "question_id is missing"
    question = entry.get("question")
    if not isinstance(question, str) or not question.strip():
        return "question is missing"
    image = entry.get("image_id")
    if not is_id(image) or not str(image).isdecimal():
        return f"image_id {image!r} is not an image number"
    return None


def _read_answers(
    path: str | Path, locations: dict[object, str], faults: list[str]
) -> dict[object, dict[str, Any]]:
    """Return answers and answer type by question id; append missing and extra ones to faults."""
    answers_by_id: dict[object, dict[str, Any]] = {}
    for number, entry in enumerate(_content(path, "annotations", "a VQA file")["annotations"]):
        place = f"{path}: annotations[{number}]"
        ident = entry.get("question_id") if isinstance(entry, dict) else None
        counts = _answer_counts(entry.get("answers")) if isinstance(entry, dict) else None
        if not is_id(ident) or counts is None:
            faults.append(f"{place}: question_id or answers is missing; {_FIX}")
        elif ident not in locations:
            faults.append(f"{place}: question_id {ident!r} is not in 'questions'; {_FIX}")
        elif ident in answers_by_id:
            faults.append(f"{place}: question_id {ident!r} already has answers; {_FIX}")
        else:
            kind = entry.get("answer_type")
            answers_by_id[ident] = {"answers": counts} | ({"group": kind} if kind else {})
    faults += [
        f"{place}: question_id {ident!r} has no answers in {path}; {_FIX}"
        for ident, place in locations.items()
        if ident not in answers_by_id
    ]
    return answers_by_id


def _answer_counts(answers: Any) -> dict[str, float] | None:
    """Return the count of each answer, most frequent first; None if there are no valid answers."""
    if not isinstance(answers, list) or not answers:
        return None
    texts: list[Any] = [a.get("answer") if isinstance(a, dict) else None for a in answers]
    if not all(isinstance(text, str) for text in texts):
        return None
    counts = Counter(" ".join(text.split()) for text in texts)
    del counts[""]
    return dict(counts.most_common()) or None
