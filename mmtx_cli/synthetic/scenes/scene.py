"""Description of a scene, from which its image and its texts are generated independently."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

COLORS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
SHAPES = ("circle", "square", "triangle", "star", "cross", "ring")
SIZES = ("small", "large")
RELATIONS = ("left of", "right of", "above", "below")
PLACES = ("top left", "top right", "bottom left", "bottom right", "middle")
INVERSE = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}

Pair = tuple[str, str]  # (color, shape)
PAIRS: tuple[Pair, ...] = tuple((color, shape) for color in COLORS for shape in SHAPES)

_RADIUS = {"small": 0.11, "large": 0.195}
# position of the first of two things relative to the center
_DIRECTION = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}
_CORNER = {"top": -1, "bottom": 1, "left": -1, "right": 1}


@dataclass(frozen=True)
class Thing:
    """A colored shape and its position. Lengths are fractions of the image's side, y downwards."""

    color: str
    shape: str
    size: str
    x: float
    y: float
    radius: float
    angle: float  # radians

    @property
    def pair(self) -> Pair:
        """Color and shape, the combination that determines the compositional split."""
        return self.color, self.shape


@dataclass(frozen=True)
class Scene:
    """One thing at a ``place``, or a large and a small one with a ``relation`` between them.

    The first of two things is the large one; ``relation`` is its relation to the second. They
    differ in color and in shape, so that either attribute identifies one of them.
    """

    things: tuple[Thing, ...]
    relation: str | None
    place: str | None


def sample_scene(random: Random, pairs: Sequence[Pair], must: Sequence[Pair] = ()) -> Scene:
    """Sample a scene of things from ``pairs``; with ``must``, one thing is from those."""
    first = random.choice(must) if must else random.choice(pairs)
    if random.random() < 0.25:
        place = random.choice(PLACES)
        return Scene((_placed(random, first, random.choice(SIZES), _corner(place)),), None, place)
    others = [pair for pair in pairs if pair[0] != first[0] and pair[1] != first[1]]
    two = [first, random.choice(others)]
    random.shuffle(two)
    relation = random.choice(RELATIONS)
    dx, dy = _DIRECTION[relation]
    large = _placed(random, two[0], "large", (0.5 + 0.22 * dx, 0.5 + 0.22 * dy))
    small = _placed(random, two[1], "small", (0.5 - 0.28 * dx, 0.5 - 0.28 * dy))
    return Scene((large, small), relation, None)


def _corner(place: str) -> tuple[float, float]:
    if place == "middle":
        return 0.5, 0.5
    vertical, horizontal = place.split()
    return 0.5 + 0.22 * _CORNER[horizontal], 0.5 + 0.22 * _CORNER[vertical]


def _placed(random: Random, pair: Pair, size: str, center: tuple[float, float]) -> Thing:
    radius = _RADIUS[size] * random.uniform(0.92, 1.08)
    # close enough to the given center to keep relation and place unambiguous
    x, y = (c + random.uniform(-0.035, 0.035) for c in center)
    return Thing(*pair, size, x, y, radius, random.uniform(-1, 1) * math.radians(8))
