"""Several manifests as one, whose samples say what they are of."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from mmtx_cli.data.manifest.dataset_card import Card
from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.manifest.sample import Sample


@dataclass(frozen=True)
class Corpora(Manifest):
    """The samples of all ``parts``, corpus after corpus; their ids are corpus/id, and so are their
    groups.
    """

    parts: Mapping[str, Manifest]

    def where(self, sample: Sample) -> str:
        """The sample's place in its own file."""
        return self.parts[sample.corpus].where(sample)


def joined(parts: Mapping[str, Manifest]) -> Corpora:
    """Put manifests together, by name."""
    samples = [
        replace(
            sample,
            id=f"{name}/{sample.id}",
            corpus=name,
            group=f"{name}/{sample.group}" if sample.group else name,
        )
        for name, part in parts.items()
        for sample in part.samples
    ]
    paths = ", ".join(str(part.path) for part in parts.values())
    return Corpora(Path(paths), samples, joined_card(parts), parts)


def joined_card(parts: Mapping[str, Manifest]) -> Card:
    """The classes of all cards in their order, if every corpus with labels has some."""
    labelled = [part for part in parts.values() if any(s.label is not None for s in part.samples)]
    lists = [part.card.label_names for part in labelled]
    if not labelled or any(names is None for names in lists):
        return Card()
    return Card(label_names=[*dict.fromkeys(name for names in lists for name in names or ())])
