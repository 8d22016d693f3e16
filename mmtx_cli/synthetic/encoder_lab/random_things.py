"""Sample random things (colored shapes) for images and videos."""

import math
from collections.abc import Sequence
from random import Random

from mmtx_cli.synthetic.events.event import REACH
from mmtx_cli.synthetic.scenes.scene import COLORS, SHAPES, Thing

_MAX_TILT = math.radians(10)


def random_thing(
    random: Random,
    radius: tuple[float, float],
    colors: Sequence[str] = COLORS,
    shapes: Sequence[str] = SHAPES,
) -> Thing:
    """Sample a thing at any position where it lies entirely within the image.

    Args:
        random: Source of randomness.
        radius: Smallest and largest radius, as fractions of the image's side.
        colors: Colors to choose from.
        shapes: Shapes to choose from.
    """
    r = random.uniform(*radius)
    x, y = (random.uniform(REACH * r, 1 - REACH * r) for _ in range(2))
    tilt = random.uniform(-_MAX_TILT, _MAX_TILT)
    return Thing(random.choice(colors), random.choice(shapes), "large", x, y, r, tilt)
