"""A task of the encoder laboratory: a question about one modality, its classes, its examples."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Task:
    """A classification task whose labels follow from the content of a single modality.

    ``make(label, random, size)`` returns one example of a class: a PIL image, the frames of a
    video (uint8 [t, h, w, 3]), the samples of a sound (int16 [n]), or a text. ``size`` is the
    side of images and frames in pixels; sounds and texts have none.
    """

    name: str
    modality: str
    label_names: tuple[str, ...]
    description: str
    make: Callable[[str, Random, int], Any]
