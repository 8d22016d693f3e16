"""A small data set on disk: pictures, texts, captions and labels, with something missing."""

import numpy as np
from PIL import Image

from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.targets import Targets
from mmtx_cli.data.text.tokenizer import Tokenizer

NAMES = ["red", "green", "blue"]
SIDE, LENGTH = 16, 12
WORDS = ["a", "red", "green", "ball", "dog", "cat", "runs", "sits", "on", "the", "grass", "now"]


def rows(folder, num=24):
    """Every fifth sample lacks the picture, every seventh the text, every sixth the captions."""
    random = np.random.default_rng(0)
    samples = []
    for i in range(num):
        path = folder / f"{i}.png"
        pixels = random.integers(0, 256, (20 + i, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        texts = [" ".join(random.choice(WORDS, size)) for size in random.integers(1, 9, 4)]
        samples.append(
            Sample(
                id=f"s{i}",
                split="train",
                image=(str(path),) if i % 5 else (),
                text=texts[0] if i % 7 else None,
                captions=tuple(texts[1:]) if i % 6 else (),
                label=NAMES[i % 3] if i % 4 else None,
            )
        )
    return samples


def tokenizer():
    return Tokenizer.train([" ".join(WORDS)] * 3, 400)


def samples_of(samples, **kwargs):
    options = {
        "modalities": ("text", "image"),
        "needs": ("captions", "label"),
        "preparation": Preprocessing(SIDE, "crop", "text", LENGTH),
        "tokenizer": tokenizer(),
        "known": Targets(NAMES),
    }
    return ManifestDataset(samples, **(options | kwargs))
