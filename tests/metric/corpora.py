"""Captions for the metrics' tests: real ones where there are, and random ones."""

import os
import random
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = "a the man woman dog ball red blue runs sits on in field with his two its".split()  # noqa: SIM905


def flickr_file():
    """Return Flickr8k's captions; skip where they are not."""
    data = Path(os.environ.get("MMTX_TEST_DATA", ROOT / "../shared/data"))
    path = data / "flickr8k_mini" / "captions.token.txt"
    if not path.exists():
        pytest.skip(f"{path} is not there; MMTX_TEST_DATA names its folder")
    return path


def flickr_captions():
    """Return the captions, as written."""
    return [caption for captions in flickr_groups().values() for caption in captions]


def flickr_groups():
    """Return the captions of each image."""
    groups = defaultdict(list)
    for line in flickr_file().read_text(encoding="utf-8").splitlines():
        name, caption = line.split("\t")
        groups[name.split("#")[0]].append(caption)
    return groups


def random_tokens(num_samples, seed=0, longest=14):
    """Return candidates and references as tokens: some empty, some alike, some repeating."""
    draw = random.Random(seed)

    def caption(shortest):
        return draw.choices(WORDS[: draw.choice((3, 8, 18))], k=draw.randint(shortest, longest))

    candidates, references = [], []
    for _ in range(num_samples):
        group = [caption(draw.choice((0, 1, 1, 1))) for _ in range(draw.randint(1, 6))]
        copied = draw.random() < 0.1
        candidates.append(list(draw.choice(group)) if copied else caption(0))
        references.append(group)
    return candidates, references
