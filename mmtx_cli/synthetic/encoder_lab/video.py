"""Video tasks: movements, their order, speed and direction, and cuts.

A video has 24 frames at 12 frames per second and no audio. Lengths are fractions of the frame's
side, with y pointing downwards.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
from jaxtyping import UInt8

from mmtx_cli.synthetic.encoder_lab.random_things import random_thing
from mmtx_cli.synthetic.encoder_lab.task import Task
from mmtx_cli.synthetic.events.event import REACH
from mmtx_cli.synthetic.events.frames import render
from mmtx_cli.synthetic.scenes.scene import COLORS, Thing

NUM_FRAMES = 24
_LAST = NUM_FRAMES - 1
_TURNS = (10, 13)  # earliest and latest frame at which a second action begins
_CUTS = (6, 18)  # earliest and latest first frame of a second shot
_RADIUS = (0.1, 0.125)
_DISTANCE = (0.24, 0.34)  # of each of two movements
_SMALL, _LARGE = 0.09, 0.17  # radii before and after growing; the reverse for shrinking

_STEPS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_DIRECTIONS = (
    "right",
    "up right",
    "up",
    "up left",
    "left",
    "down left",
    "down",
    "down right",
)  # counterclockwise, in steps of 45 degrees
_DIRECTION_JITTER = math.radians(6)
_SPEEDS = {"slow": (0.2, 0.24), "medium": (0.36, 0.42), "fast": (0.58, 0.65)}  # in two seconds

Frames = UInt8[np.ndarray, "t h w 3"]
Key = tuple[int, float, float, float]
"""A key frame: frame index, offset of the thing from its first position (x, y), and its radius."""


def _render_keyframes(thing: Thing, keys: Sequence[Key], random: Random, size: int) -> Frames:
    """Render a thing that is interpolated linearly between key frames.

    The first position is sampled such that the thing never leaves the frame.

    Args:
        thing: The moving thing; its position and radius are ignored.
        keys: Key frames in temporal order.
        random: Source of the position and of the background.
        size: Side of the frames in pixels.
    """
    times, dx, dy, radii = zip(*keys, strict=True)
    margin = REACH * max(radii)
    x, y = (random.uniform(margin - min(d), 1 - margin - max(d)) for d in (dx, dy))
    path = [np.interp(range(NUM_FRAMES), times, values).tolist() for values in (dx, dy, radii)]
    things = [
        (replace(thing, x=x + to_x, y=y + to_y, radius=radius),)
        for to_x, to_y, radius in zip(*path, strict=True)
    ]
    return render(things, size, random.randrange(2**32))


def _glide(thing: Thing, step: tuple[float, float], random: Random, size: int) -> Frames:
    """Render a thing that moves by ``step`` over the course of the video."""
    r = thing.radius
    return _render_keyframes(thing, [(0, 0, 0, r), (_LAST, *step, r)], random, size)


def _polar(distance: float, angle: float) -> tuple[float, float]:
    return distance * math.cos(angle), -distance * math.sin(angle)


def _any_step(random: Random, distance: tuple[float, float]) -> tuple[float, float]:
    return _polar(random.uniform(*distance), random.uniform(0, 2 * math.pi))


def _first_movement(label: str, random: Random, size: int) -> Frames:
    return _two_movements(label, _other_direction(label, random), random, size)


def _second_movement(label: str, random: Random, size: int) -> Frames:
    return _two_movements(_other_direction(label, random), label, random, size)


def _other_direction(direction: str, random: Random) -> str:
    return random.choice([other for other in _STEPS if other != direction])


def _two_movements(first: str, second: str, random: Random, size: int) -> Frames:
    thing = random_thing(random, _RADIUS)
    keys: list[Key] = [(0, 0.0, 0.0, thing.radius)]
    for direction, moment in ((first, random.randint(*_TURNS)), (second, _LAST)):
        distance = random.uniform(*_DISTANCE)
        dx, dy = (distance * share for share in _STEPS[direction])
        keys.append((moment, keys[-1][1] + dx, keys[-1][2] + dy, thing.radius))
    return _render_keyframes(thing, keys, random, size)


def _order(label: str, random: Random, size: int) -> Frames:
    thing, turn = random_thing(random, _RADIUS), random.randint(*_TURNS)
    dx, dy = _any_step(random, _DISTANCE)
    before, after = random.choice([(_SMALL, _LARGE), (_LARGE, _SMALL)])
    between = (dx, dy, before) if label == "moves" else (0.0, 0.0, after)
    keys: list[Key] = [(0, 0.0, 0.0, before), (turn, *between), (_LAST, dx, dy, after)]
    return _render_keyframes(thing, keys, random, size)


def _speed(label: str, random: Random, size: int) -> Frames:
    step = _any_step(random, _SPEEDS[label])
    return _glide(random_thing(random, _RADIUS), step, random, size)


def _direction(label: str, random: Random, size: int) -> Frames:
    angle = math.radians(45) * _DIRECTIONS.index(label)
    angle += random.uniform(-_DIRECTION_JITTER, _DIRECTION_JITTER)
    step = _polar(random.uniform(0.3, 0.45), angle)
    return _glide(random_thing(random, _RADIUS), step, random, size)


def _moving(label: str, random: Random, size: int) -> Frames:
    step = _any_step(random, (0.2, 0.45)) if label == "moving" else (0.0, 0.0)
    return _glide(random_thing(random, _RADIUS), step, random, size)


def _cut(label: str, random: Random, size: int) -> Frames:
    thing = random_thing(random, _RADIUS)
    frames = _glide(thing, _any_step(random, (0.2, 0.4)), random, size)
    if label == "no cut":
        return frames
    others = [color for color in COLORS if color != thing.color]
    other = random_thing(random, _RADIUS, colors=others)
    second = _glide(other, _any_step(random, (0.2, 0.4)), random, size)
    moment = random.randint(*_CUTS)
    return np.concatenate([frames[:moment], second[moment:]])


TASKS = (
    Task(
        "video_first_movement",
        "video",
        tuple(_STEPS),
        "The direction of the first of two movements",
        _first_movement,
    ),
    Task(
        "video_second_movement",
        "video",
        tuple(_STEPS),
        "The direction of the second of two movements",
        _second_movement,
    ),
    Task(
        "video_order",
        "video",
        ("moves", "changes size"),
        "Whether the shape first moves and then changes its size, or the reverse",
        _order,
    ),
    Task("video_speed", "video", tuple(_SPEEDS), "The speed, in any direction", _speed),
    Task(
        "video_direction",
        "video",
        _DIRECTIONS,
        "The direction of the movement, in steps of 45 degrees",
        _direction,
    ),
    Task("video_moving", "video", ("still", "moving"), "Whether the shape moves", _moving),
    Task(
        "video_cut",
        "video",
        ("no cut", "cut"),
        "Whether the shot changes to a shape of another color on another background",
        _cut,
    ),
)
