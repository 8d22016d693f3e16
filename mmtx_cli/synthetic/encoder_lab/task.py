"""Definition of a task of the encoder lab: modality, classes and a generator of examples."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Task:
    """A classification task whose labels are determined by a single modality.

    ``make(label, random, size)`` returns one example of a class: a PIL image, the frames of a
    video (uint8 [t, h, w, 3]), the samples of a sound (int16 [n]), or a text. ``size`` is the
    side of images and frames in pixels; sounds and texts ignore it.
    """

    name: str
    modality: str
    label_names: tuple[str, ...]
    description: str
    make: Callable[[str, Random, int], Any]
