"""The largest batch that training may meet: real samples with the longest texts and inputs."""

from collections.abc import Sequence

import numpy as np

from mmtx_cli.data.dataset import Example, ManifestDataset
from mmtx_cli.data.loader import collate_of
from mmtx_cli.data.modality_columns import with_input
from mmtx_cli.types import Batch

READ = 32
"""Samples that are read to find large ones; a batch of more repeats them."""


def largest_examples(samples: ManifestDataset, read: int = READ) -> list[Example]:
    """Return examples of the samples that need the most memory, the largest first.

    Half of those that are read have the most modalities and tokens of text, which is known without
    opening a file; the others are spread over the data set, since long inputs of other kinds are
    seen only when they are read.
    """
    size = len(samples)
    tokens = samples.texts.lengths(0)
    features = samples.preparation.features
    present = np.zeros(size, dtype=int)
    for name in samples.modalities:
        present += with_input(samples.samples, name, features)
    order = np.lexsort((-tokens, -present))
    spread = np.linspace(0, size - 1, min(size, read - read // 2)).astype(int)
    rows = dict.fromkeys([*map(int, order[: read // 2]), *map(int, spread)])
    examples = [samples[(0, row)] for row in rows]
    readable = [example for example in examples if example.fault is None] or examples
    return sorted(readable, key=elements, reverse=True)


def elements(example: Example) -> int:
    """Return the number of values of an example, each of its texts counted as one pass."""
    return sum(tensor.numel() for tensor in (*example.inputs.values(), *example.targets.values()))


def batch_of(
    examples: Sequence[Example], samples: ManifestDataset, size: int, round_to: int
) -> Batch:
    """Return a batch of ``size`` samples that begins with the largest examples and repeats them.

    Args:
        examples: The examples, the largest first.
        samples: The dataset that they are of.
        size: Number of samples.
        round_to: Lengths are padded to a multiple of this.
    """
    repeated = [examples[i % len(examples)] for i in range(size)]
    return collate_of(samples, round_to)(repeated)
