"""Description of an event: a thing performs two motions in sequence, and one sound is played."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from mmtx_cli.synthetic.scenes.scene import Pair, Thing

DIRECTIONS = ("left", "right", "up", "down")
MOTIONS = (*DIRECTIONS, "grows", "shrinks", "stays")
SOUNDS = (
    "high beep",
    "low hum",
    "rising whistle",
    "falling whistle",
    "noise burst",
    "ticking clock",
)
FRAME_RATE, SECONDS = 12, 3
NUM_FRAMES = FRAME_RATE * SECONDS

_STEP = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
_GROWTH = {"grows": 1.75, "shrinks": 1 / 1.75}
_SMALL, _MIDDLE, _LARGE = 0.12, 0.16, 0.21  # initial radii; the middle one if the size is constant
REACH = 1.25  # distance of a thing's farthest corner from its center, in radii
_MARGIN = 0.1  # seconds between the sound and the limits of its phase
_TURNS = (16, 20)  # frames


@dataclass(frozen=True)
class Sound:
    """A sound: kind, start and end in seconds, pitch as a factor (1 = usual), and loudness."""

    kind: str
    start: float
    end: float
    pitch: float
    loudness: float  # peak amplitude; full scale is 1


@dataclass(frozen=True)
class Event:
    """A thing performs ``motions[0]`` until frame ``turn``, then the different ``motions[1]``.

    ``things`` is the thing at the first frame, at the turn and at the last frame. The sound is
    played within one of the two motions, whose index is ``phase`` (0 or 1).
    """

    things: tuple[Thing, Thing, Thing]
    motions: tuple[str, str]
    turn: int
    phase: int
    sound: Sound

    @property
    def label(self) -> str:
        """The motion during the sound; both audio and video are needed to determine it."""
        return self.motions[self.phase]


def sample_event(random: Random, pairs: Sequence[Pair]) -> Event:
    """Sample an event of a thing from ``pairs``, with all attributes uniform and independent."""
    first, second = random.sample(MOTIONS, 2)
    turn, phase = random.randint(*_TURNS), random.randrange(2)
    return Event(
        things=_path(random, random.choice(pairs), (first, second)),
        motions=(first, second),
        turn=turn,
        phase=phase,
        sound=_sample_sound(random, turn / FRAME_RATE, phase),
    )


def thing_at(event: Event, frame: int) -> Thing:
    """Return the thing, interpolated linearly, at a frame from 0 to ``NUM_FRAMES`` - 1."""
    if frame <= event.turn:
        before, after = event.things[:2]
        share = frame / event.turn
    else:
        before, after = event.things[1:]
        share = (frame - event.turn) / (NUM_FRAMES - 1 - event.turn)
    x, y, radius = (
        a + share * (b - a)
        for a, b in (
            (before.x, after.x),
            (before.y, after.y),
            (before.radius, after.radius),
        )
    )
    return replace(before, x=x, y=y, radius=radius)


def _path(random: Random, pair: Pair, motions: tuple[str, str]) -> tuple[Thing, Thing, Thing]:
    """Return the thing before, between and after its motions, always entirely in the frame."""
    radii = [_first_radius(motions)]
    places = [(0.0, 0.0)]
    for motion in motions:
        dx, dy = _STEP.get(motion, (0, 0))
        distance = random.uniform(0.27, 0.36)
        x, y = places[-1]
        places.append((x + dx * distance, y + dy * distance))
        radii.append(radii[-1] * _GROWTH.get(motion, 1.0))
    margin = REACH * max(radii)
    x, y = (
        random.uniform(margin - min(offsets), 1 - margin - max(offsets))
        for offsets in zip(*places, strict=True)
    )
    angle = random.uniform(-1, 1) * math.radians(8)
    before, between, after = (
        Thing(*pair, "large", x + dx, y + dy, radius, angle)
        for (dx, dy), radius in zip(places, radii, strict=True)
    )
    return before, between, after


def _first_radius(motions: tuple[str, str]) -> float:
    for motion in motions:
        if motion in _GROWTH:
            return _SMALL if motion == "grows" else _LARGE
    return _MIDDLE


def _sample_sound(random: Random, turn: float, phase: int) -> Sound:
    """Sample a sound within a phase; ``turn`` is the start of the second phase in seconds."""
    begin, end = ((0.0, turn), (turn, float(SECONDS)))[phase]
    seconds = random.uniform(0.7, 1.0)
    start = random.uniform(begin + _MARGIN, end - _MARGIN - seconds)
    return Sound(
        kind=random.choice(SOUNDS),
        start=start,
        end=start + seconds,
        pitch=random.uniform(0.94, 1.06),
        loudness=random.uniform(0.3, 0.6),
    )
