"""An event to pictures: the film's frames, and the thing on its own."""

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
    """Draw every frame as RGB, ``size`` pixels a side; ``seed`` varies the ground."""
    return render([(thing_at(event, frame),) for frame in range(NUM_FRAMES)], size, seed)


def render(things: Sequence[Iterable[Thing]], size: int, seed: int) -> UInt8[np.ndarray, "t h w 3"]:
    """Render the things of each frame over one background, which depends on ``seed``.

    Returns RGB frames, ``size`` pixels a side.
    """
    ground = draw(Scene((), None, None), size, seed)
    pictures = []
    for in_frame in things:
        picture = ground.copy()
        for thing in in_frame:
            _paste(picture, thing, size)
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def still(event: Event, size: int, seed: int) -> Image.Image:
    """Draw the thing alone, large and in the middle: what it is, not what it does."""
    thing = replace(event.things[0], x=0.5, y=0.5, radius=0.3)
    return draw(Scene((thing,), None, "middle"), size, seed)


def _paste(picture: Image.Image, thing: Thing, size: int) -> None:
    """Draw the thing in a tile just large enough, which is faster than in a whole picture."""
    reach = REACH * thing.radius * size
    left, top = (math.floor(c * size - reach) for c in (thing.x, thing.y))
    side = math.ceil(2 * reach) + 1
    x, y = thing.x * size - left, thing.y * size - top
    within = replace(thing, x=x / side, y=y / side, radius=thing.radius * size / side)
    tile = cut_out((within,), side)
    picture.paste(tile, (left, top), mask=tile.getchannel("A"))
