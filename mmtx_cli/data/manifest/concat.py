"""Concatenation of several manifests, with the data set's name in each sample."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmtx_cli.data.manifest.dataset_card import Card
from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.facts import present
from mmtx_cli.data.manifest.table.joined import joined_tables
from mmtx_cli.data.manifest.table.samples import SampleTable


@dataclass(frozen=True)
class Corpora(Manifest):
    """Samples of all ``parts``, one data set after the other.

    Ids are prefixed as corpus/id, and groups as corpus/group (or corpus if there is none).
    """

    parts: Mapping[str, Manifest]

    def where(self, sample: Sample) -> str:
        """Return the sample's location in its own manifest."""
        return self.parts[sample.corpus].where(sample)


def joined(parts: Mapping[str, Manifest]) -> Corpora:
    """Concatenate manifests, given by name."""
    if any(isinstance(part.samples, SampleTable) for part in parts.values()):
        samples: Sequence[Sample] = joined_tables({n: p.samples for n, p in parts.items()})
    else:
        samples = _joined_lists(parts)
    paths = ", ".join(str(part.path) for part in parts.values())
    return Corpora(Path(paths), samples, joined_card(parts), parts)


def _joined_lists(parts: Mapping[str, Manifest]) -> list[Sample]:
    return [
        replace(
            sample,
            id=f"{name}/{sample.id}",
            corpus=name,
            group=f"{name}/{sample.group}" if sample.group else name,
        )
        for name, part in parts.items()
        for sample in part.samples
    ]


def joined_card(parts: Mapping[str, Manifest]) -> Card:
    """Merge the cards' class names in order; empty unless all data sets with labels list them."""
    labeled = [part for part in parts.values() if present(part.samples, "label").any()]
    lists = [part.card.label_names for part in labeled]
    if not labeled or any(names is None for names in lists):
        return Card()
    return Card(label_names=[*dict.fromkeys(name for names in lists for name in names or ())])
