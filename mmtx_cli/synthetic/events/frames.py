"""Render the frames of an event, and a still image of its thing."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from mmtx_cli.synthetic.events.event import NUM_FRAMES, REACH, Event, thing_at
from mmtx_cli.synthetic.scenes.render import cut_out, draw
from mmtx_cli.synthetic.scenes.scene import Scene, Thing


def frames(event: Event, size: int, seed: int) -> UInt8[np.ndarray, "t h w 3"]:
    """Render all frames of an event in RGB, of side ``size``; ``seed`` is for the background."""
    return render([(thing_at(event, frame),) for frame in range(NUM_FRAMES)], size, seed)


def render(things: Sequence[Iterable[Thing]], size: int, seed: int) -> UInt8[np.ndarray, "t h w 3"]:
    """Render the things of each frame over one background, determined by ``seed``.

    Returns RGB frames of ``size`` x ``size`` pixels.
    """
    background = draw(Scene((), None, None), size, seed)
    pictures = []
    for in_frame in things:
        picture = background.copy()
        for thing in in_frame:
            _paste(picture, thing, size)
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def still_image(event: Event, size: int, seed: int) -> Image.Image:
    """Render the thing large and centered: an image of the thing, not of its motion."""
    thing = replace(event.things[0], x=0.5, y=0.5, radius=0.3)
    return draw(Scene((thing,), None, "middle"), size, seed)


def _paste(picture: Image.Image, thing: Thing, size: int) -> None:
    """Render the thing in the smallest tile that fits, which is faster than in a whole frame."""
    reach = REACH * thing.radius * size
    left, top = (math.floor(c * size - reach) for c in (thing.x, thing.y))
    side = math.ceil(2 * reach) + 1
    x, y = thing.x * size - left, thing.y * size - top
    local_thing = replace(thing, x=x / side, y=y / side, radius=thing.radius * size / side)
    tile = cut_out((local_thing,), side)
    picture.paste(tile, (left, top), mask=tile.getchannel("A"))
