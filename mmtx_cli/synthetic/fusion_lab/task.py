"""Fusion tasks whose answer follows from the bits that the modalities encode."""

from dataclasses import dataclass
from random import Random

LABELS = ("no", "yes")
TASKS = {
    "redundant": "every modality encodes the answer",
    "unique": "only the image encodes the answer; the others are unrelated",
    "xor": "the answer is whether image and text differ; neither alone is informative",
    "gated": "the audio indicates whether the image or the text encodes the answer",
    "conflict": "image and text each give an answer, certain or not; certain answers are correct",
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
            image_bit, text_bit = (a if certain else random.randrange(2) for certain in sure)
            return Trial(image_bit, text_bit, c, a, *sure)
    raise ValueError(f"task={task!r}: unknown task; choose from: {', '.join(TASKS)}")
