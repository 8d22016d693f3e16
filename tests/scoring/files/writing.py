"""Small files of captions, and what is read from them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mmtx_cli.errors import DataError
from mmtx_cli.scoring.files.load import Loaded, load
from mmtx_cli.scoring.settings import ScoreSettings

REFERENCES = {
    "1": ["a dog runs in the grass", "the dog is running"],
    "2": ["two men ride red bicycles", "men on bikes"],
    "3": ["a girl holds a balloon", "a child with a balloon"],
}
PREDICTIONS = {
    "1": "a dog runs on grass",
    "2": "a man rides a bicycle",
    "3": "a girl with a balloon",
}
CAPTIONS = list(PREDICTIONS.values())


def lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def reference_lines():
    return lines({"id": name, "captions": own} for name, own in REFERENCES.items())


def prediction_lines():
    return lines({"id": name, "caption": own} for name, own in PREDICTIONS.items())


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def loaded(predictions, references=(), split=None, **more) -> Loaded:
    """What ``mmtx score`` reads from files of predictions and references."""
    references = references if isinstance(references, list | tuple) else (references,)
    predictions = predictions if isinstance(predictions, list | tuple) else (predictions,)
    settings = ScoreSettings(
        tuple(references), tuple(predictions), split, ("overlap",), 10, 1, 1, 0, **more
    )
    found = load(settings)
    return replace(found, notes=tuple(shortened(found.notes, predictions[0])))


def faults(predictions, *args, **more) -> list[str]:
    with pytest.raises(DataError) as caught:
        loaded(predictions, *args, **more)
    first = predictions[0] if isinstance(predictions, list) else predictions
    return shortened(caught.value.faults, first)


def shortened(messages, path: Path) -> list[str]:
    """Messages without the folder of the test."""
    return [message.replace(f"{path.parent}/", "") for message in messages]
