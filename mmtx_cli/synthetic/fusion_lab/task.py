"""Fusion tasks whose answer follows from the bits that the modalities encode."""

from dataclasses import dataclass
from random import Random

LABELS = ("no", "yes")
TASKS = {
    "redundant": "every modality says the answer",
    "unique": "the picture says the answer, the others something else",
    "xor": "the answer is whether picture and text differ: either alone says nothing",
    "gated": "the sound says whether the picture or the text has the answer",
    "conflict": "picture and text say an answer each, surely or perhaps; one that is sure is right",
}
"""Descriptions of the tasks. The answer is a bit, and each modality encodes one bit."""


@dataclass(frozen=True)
class Trial:
    """One bit per modality, whether image and text mark theirs as certain, and the answer."""

    image: int
    text: int
    audio: int
    answer: int
    image_sure: bool = True
    text_sure: bool = True


def trial(task: str, random: Random) -> Trial:
    """Draw one trial; the answer and every bit are uniformly distributed."""
    a, b, c = (random.randrange(2) for _ in range(3))
    match task:
        case "redundant":
            return Trial(a, a, a, a)
        case "unique":
            return Trial(a, b, c, a)
        case "xor":
            return Trial(a, b, c, a ^ b)
        case "gated":
            return Trial(a, b, c, (a, b)[c])
        case "conflict":
            sure = random.choice([(True, False), (False, True), (True, True)])
            said, told = (a if known else random.randrange(2) for known in sure)
            return Trial(said, told, c, a, *sure)
    raise ValueError(f"task={task!r} is none of {', '.join(TASKS)}")
