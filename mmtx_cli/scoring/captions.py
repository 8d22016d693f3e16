"""Predicted captions with their references, aligned by sample."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Captions:
    """The captions of one system, with references, for n samples.

    Args:
        ids: [n] ids of the samples, in the order of the references.
        predictions: [n] captions of the system; may be empty strings.
        references: [n] lists of at least one reference each.
        media: [n] the files of each sample by modality (``image``, ``video``, ``audio``); empty if
            the references name no files. Several pictures of a sample are none.
        segments: [n] start and end in seconds of the segment of the film or sound, None for the
            whole file; empty if the references name no files.
    """

    ids: list[str]
    predictions: list[str]
    references: list[list[str]]
    media: list[Mapping[str, Path]]
    segments: list[tuple[float, float] | None] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)
