"""Cache entries that are still missing for a dataset, and how they are encoded and written."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Int
from torch.utils.data import DataLoader

from mmtx_cli.data.cache.content import ContentKeys, text_contents
from mmtx_cli.data.cache.entries import Reader
from mmtx_cli.data.cache.module_outputs import ModuleOutputs
from mmtx_cli.data.cache.shard import Fault
from mmtx_cli.data.cache.writer import ShardWriter
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.loader import EvaluationSampler, make_loader
from mmtx_cli.data.manifest.sample import SPLITS, Sample
from mmtx_cli.types import Batch, Tokens


@dataclass
class PendingEntries:
    """Samples without a cache entry, one per distinct content; ``total`` counts all contents."""

    samples: ManifestDataset
    contents: ContentKeys
    total: int

    def __post_init__(self) -> None:
        self.row = {sample.id: i for i, sample in enumerate(self.samples.samples)}

    def __len__(self) -> int:
        return len(self.contents)

    def loader(self, batch_size: int, num_workers: int | None) -> DataLoader:
        """Return a loader of every sample, preprocessed as in evaluation."""
        return make_loader(self.samples, EvaluationSampler(self.samples, batch_size), num_workers)

    def write(self, writer: ShardWriter, batch: Batch, tokens: Tokens) -> int:
        """Write the entries of a batch and return their size in bytes."""
        faults = {fault["id"]: Fault(fault["path"], fault["reason"]) for fault in batch.read_errors}
        x, mask = tokens.x.to("cpu"), tokens.mask.to("cpu")
        size = 0
        for i, sample_id in enumerate(batch.ids):
            row = self.row[sample_id]
            key = int(self.contents.name[row]), int(self.contents.state[row])
            if sample_id in faults:
                writer.add_fault(*key, faults[sample_id])
            else:
                real = x[i][mask[i]]
                writer.add(*key, real, sample_id)
                size += real.numel() * writer.dtype.itemsize
        return size


def find_pending(part: ModuleOutputs, corpus: Any, modality: str) -> PendingEntries:
    """Return the missing entries of all splits; unreadable content is tried again."""
    corpus = replace(corpus, cache=None, trained_labels=False)  # labels are not used
    rows = [row for split in SPLITS for row in corpus.rows(split)]
    reader = Reader(corpus.preparation, corpus.mixing.texts if corpus.mixing else {})
    if reader.words(modality):
        rows = sample_per_text(reader.columns(rows))
        contents = text_contents([str(row.text) for row in rows])
        corpus = replace(corpus, preparation=replace(corpus.preparation, text="text"), mixing=None)
    else:
        rows = [row for row in rows if reader.has(row, modality)]
        contents = reader.contents(rows, modality)
    first = np.unique(contents.name, return_index=True)[1]
    missing = np.sort(first[~is_cached(part, contents_at(contents, first))])
    samples = corpus.samples([rows[i] for i in missing], [modality], ())
    return PendingEntries(samples, contents_at(contents, missing), len(first))


def sample_per_text(columns: Sequence[Sequence[str]]) -> list[Sample]:
    """Return one sample per distinct text."""
    texts = dict.fromkeys(text for column in columns for text in column)
    return [Sample(f"text {text!r}", "train", text=text) for text in texts]


def is_cached(part: ModuleOutputs, contents: ContentKeys) -> np.ndarray:
    """Return which contents have a readable entry."""
    entry = part.find(contents)
    return np.array([e >= 0 and int(e) not in part.faults for e in entry], dtype=bool)


def contents_at(contents: ContentKeys, index: Int[np.ndarray, " m"]) -> ContentKeys:
    """Return the contents at ``index``."""
    return ContentKeys(contents.name[index], contents.state[index])
