"""Render scenes as filled shapes on an uneven, slightly noisy background."""

import math
from collections.abc import Iterable
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from mmtx_cli.synthetic.scenes.scene import Scene, Thing

_OVERSAMPLING = 3
_GRAIN = 5.0  # standard deviation of the noise, of 255 levels
_TINT = 12
_RGB = {
    "red": (214, 32, 38),
    "green": (34, 150, 62),
    "blue": (36, 76, 210),
    "yellow": (250, 222, 40),
    "purple": (136, 44, 168),
    "orange": (244, 132, 24),
    "white": (250, 250, 250),
    "black": (16, 16, 18),
}


def draw(scene: Scene, size: int, seed: int) -> Image.Image:
    """Render a scene as an RGB image of side ``size``; ``seed`` determines the background."""
    things = cut_out(scene.things, size)
    picture = _ground(size, seed)
    picture.paste(things, mask=things.getchannel("A"))
    return _grainy(picture, seed)


def cut_out(things: Iterable[Thing], size: int) -> Image.Image:
    """Render things as an RGBA image of side ``size`` with a transparent background."""
    side = size * _OVERSAMPLING
    picture = Image.new("RGBA", (side, side))
    pen = ImageDraw.Draw(picture)
    for thing in things:
        _draw_thing(pen, thing, side)
    return picture.reduce(_OVERSAMPLING)


def _draw_thing(pen: ImageDraw.ImageDraw, thing: Thing, side: int) -> None:
    x, y, r = thing.x * side, thing.y * side, thing.radius * side
    color = _RGB[thing.color]
    box = (x - r, y - r, x + r, y + r)
    match thing.shape:
        case "circle":
            pen.ellipse(box, fill=color)
        case "ring":
            pen.ellipse(box, outline=color, width=round(0.36 * r))
        case _:
            turn = complex(math.cos(thing.angle), math.sin(thing.angle))
            corners = [complex(x, y) + r * turn * corner for corner in _OUTLINE[thing.shape]]
            pen.polygon([(c.real, c.imag) for c in corners], fill=color)


def _polygon(*radii: float, first: float) -> list[complex]:
    """Return corners at equal angles from ``first`` on, with these distances to the center."""
    step = 2 * math.pi / len(radii)
    return [
        complex(radius * math.cos(first + i * step), radius * math.sin(first + i * step))
        for i, radius in enumerate(radii)
    ]


_UP = -math.pi / 2
_ARM, _NOTCH = complex(0.34, -1.0), complex(0.34, -0.34)
# corners on the unit disk; y points downwards
_OUTLINE = {
    "square": _polygon(*[1.2] * 4, first=math.pi / 4),
    "triangle": _polygon(*[1.15] * 3, first=_UP),
    "star": _polygon(*[1.15, 0.46] * 5, first=_UP),
    "cross": [
        corner * turn
        for turn in (1, 1j, -1, -1j)
        for corner in (complex(-_ARM.real, _ARM.imag), _ARM, _NOTCH)
    ],
    # not used in scenes; horizontal at angle 0
    "bar": [complex(x, y) for x, y in ((-1.15, -0.25), (1.15, -0.25), (1.15, 0.25), (-1.15, 0.25))],
}


def _ground(size: int, seed: int) -> Image.Image:
    """Return a background between mid-gray and a pale tint, with a gradient between corners."""
    random = Random(f"ground {seed}")
    level = random.uniform(140, 176)
    tint = [level + random.uniform(-_TINT, _TINT) for _ in range(3)]
    shades = [random.uniform(-16, 16) for _ in range(4)]
    corners = np.array([[[t + s for t in tint] for s in pair] for pair in (shades[:2], shades[2:])])
    small = Image.fromarray(np.clip(corners, 0, 255).astype(np.uint8))
    return small.resize((size, size), Image.Resampling.BILINEAR)


def _grainy(picture: Image.Image, seed: int) -> Image.Image:
    # RandomState is the only numpy generator whose stream is guaranteed never to change
    noise = np.random.RandomState(seed % 2**32).standard_normal((*picture.size, 1)) * _GRAIN
    pixels = np.asarray(picture, dtype=np.float32) + noise
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
