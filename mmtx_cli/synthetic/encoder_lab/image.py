"""Image tasks: color, shape, position, size, count, relation, orientation.

Attributes that do not determine the label are random. Lengths are fractions of the image's side,
with y pointing downwards.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

from PIL import Image

from mmtx_cli.synthetic.encoder_lab.random_things import random_thing
from mmtx_cli.synthetic.encoder_lab.task import Task
from mmtx_cli.synthetic.events.event import REACH
from mmtx_cli.synthetic.scenes.render import draw
from mmtx_cli.synthetic.scenes.scene import COLORS, SHAPES, Scene, Thing

_ROWS, _COLUMNS = ("top", "middle", "bottom"), ("left", "center", "right")
POSITIONS = tuple(f"{row} {column}" for row in _ROWS for column in _COLUMNS)
_POSITION_JITTER = 0.06  # cells are a third wide, so centers stay away from their borders

# bounding boxes are 1.7 to 2.3 radii wide, depending on the shape: the three sizes do not overlap
_RADII = {"small": (0.09, 0.11), "medium": (0.165, 0.195), "large": (0.29, 0.34)}

_COUNTS = {"one": 1, "two": 2, "three": 3, "four": 4}
_COUNT_RADIUS = (0.1, 0.13)
_MIN_GAP = 0.06  # two pixels in the smallest images
_ATTEMPTS = 100

_STEPS = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}

_ANGLES = {"0 degrees": 0, "45 degrees": 45, "90 degrees": 90, "135 degrees": 135}
_ANGLE_JITTER = 10  # degrees


def _picture(things: Sequence[Thing], random: Random, size: int) -> Image.Image:
    scene = Scene(tuple(things), relation=None, place=None)
    return draw(scene, size, random.randrange(2**32))


def _color(label: str, random: Random, size: int) -> Image.Image:
    return _picture([random_thing(random, (0.16, 0.3), colors=[label])], random, size)


def _shape(label: str, random: Random, size: int) -> Image.Image:
    return _picture([random_thing(random, (0.22, 0.34), shapes=[label])], random, size)


def _position(label: str, random: Random, size: int) -> Image.Image:
    row, column = divmod(POSITIONS.index(label), 3)
    x, y = (
        (cell + 0.5) / 3 + random.uniform(-_POSITION_JITTER, _POSITION_JITTER)
        for cell in (column, row)
    )
    return _picture([replace(random_thing(random, (0.08, 0.12)), x=x, y=y)], random, size)


def _size(label: str, random: Random, size: int) -> Image.Image:
    return _picture([random_thing(random, _RADII[label])], random, size)


def _count(label: str, random: Random, size: int) -> Image.Image:
    things: list[Thing] = []
    while len(things) < _COUNTS[label]:
        things = _separate_things(_COUNTS[label], random)
    return _picture(things, random, size)


def _separate_things(num: int, random: Random) -> list[Thing]:
    """Sample ``num`` things with gaps between them; fewer if no free position is found."""
    things: list[Thing] = []
    for _ in range(_ATTEMPTS):
        new = random_thing(random, _COUNT_RADIUS)
        if all(_gap(new, thing) >= _MIN_GAP for thing in things):
            things.append(new)
        if len(things) == num:
            break
    return things


def _gap(one: Thing, other: Thing) -> float:
    return math.hypot(one.x - other.x, one.y - other.y) - REACH * (one.radius + other.radius)


def _relation(label: str, random: Random, size: int) -> Image.Image:
    step_x, step_y = _STEPS[label]
    along, across = random.uniform(0.34, 0.5) / 2, random.uniform(-0.12, 0.12) / 2
    x, y = random.uniform(0.42, 0.58), random.uniform(0.42, 0.58)
    dx, dy = along * step_x + across * step_y, along * step_y + across * step_x
    red, blue = (
        random_thing(random, (0.1, 0.14), colors=[color], shapes=["circle"])
        for color in ("red", "blue")
    )
    return _picture(
        [replace(red, x=x + dx, y=y + dy), replace(blue, x=x - dx, y=y - dy)], random, size
    )


def _orientation(label: str, random: Random, size: int) -> Image.Image:
    degrees = _ANGLES[label] + random.uniform(-_ANGLE_JITTER, _ANGLE_JITTER)
    bar = random_thing(random, (0.2, 0.34), shapes=["bar"])
    # negative, since y points downwards
    return _picture([replace(bar, angle=-math.radians(degrees))], random, size)


TASKS = (
    Task("image_color", "image", COLORS, "The color of the shape", _color),
    Task("image_shape", "image", SHAPES, "The kind of the shape", _shape),
    Task(
        "image_position",
        "image",
        POSITIONS,
        "The cell of a three-by-three grid that contains the shape",
        _position,
    ),
    Task("image_size", "image", tuple(_RADII), "The size of the shape", _size),
    Task("image_count", "image", tuple(_COUNTS), "The number of separate shapes", _count),
    Task(
        "image_relation",
        "image",
        tuple(_STEPS),
        "The position of the red circle relative to the blue one",
        _relation,
    ),
    Task(
        "image_orientation",
        "image",
        tuple(_ANGLES),
        "The angle of the bar, counterclockwise from the horizontal",
        _orientation,
    ),
)
