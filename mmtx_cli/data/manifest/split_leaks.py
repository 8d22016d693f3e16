"""Detection of inputs that occur in more than one split."""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.manifest.sample import SPLITS, Sample

Inputs = Iterable[tuple[str, str, Hashable]]
"""Kind, name and content identifier of each input."""


@dataclass(frozen=True)
class Leak:
    """``count`` inputs of a ``kind`` in both splits, with the names and places of one example."""

    kind: str
    splits: tuple[str, str]
    count: int
    names: tuple[str, str]
    places: tuple[str, str]


def leaks(
    manifest: Manifest, inputs: Callable[[Sample], Inputs], renamed: bool = False
) -> list[Leak]:
    """Compare the ``inputs`` of each sample with those of samples in other splits.

    With ``renamed``, only inputs whose names differ are counted.
    """
    first: dict[tuple[str, Hashable], tuple[Sample, str]] = {}
    counts: Counter[tuple[str, tuple[str, str]]] = Counter()
    examples: dict[tuple[str, tuple[str, str]], tuple[tuple[str, str], tuple[str, str]]] = {}
    for sample in manifest.samples:
        for kind, name, content in inputs(sample):
            other, other_name = first.setdefault((kind, content), (sample, name))
            if other.split != sample.split and not (renamed and other_name == name):
                one, two = sorted((other.split, sample.split), key=SPLITS.index)
                key = kind, (one, two)
                counts[key] += 1
                places = manifest.where(other), manifest.where(sample)
                examples.setdefault(key, ((other_name, name), places))
    return [Leak(*key, count, *examples[key]) for key, count in counts.items()]
