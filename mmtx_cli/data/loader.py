"""Data loaders and samplers that can start at any batch, with any number of workers."""

import os
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Sampler

from mmtx_cli.data.collate import Collate
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.loader_worker import Notes, group_signals_blocked, init_worker
from mmtx_cli.data.lost_worker import reporting_lost_worker, wait_for_lost_worker, watch_workers
from mmtx_cli.data.manifest.table.facts import corpus_codes
from mmtx_cli.data.sampling.budget_order import BudgetOrder
from mmtx_cli.data.sampling.epoch_order import TrainOrder, evaluation_batches, rank_slice
from mmtx_cli.data.sampling.mixture_order import MixtureOrder
from mmtx_cli.io.cores import available_cores

Keys = list[tuple[int, int]]


class TrainSampler(Sampler[Keys]):
    """This process's share of the batches ``start`` to ``total``, over consecutive epochs.

    The length is always ``total``, so that progress counts from the start of the run.

    Args:
        samples: The dataset.
        order: Order of the global batches.
        total: Index of the last batch, exclusive.
        start: Index of the first batch.
        rank: Index of this process.
        world: Number of processes.
        bucket: Whether to batch texts of similar length.
    """

    def __init__(
        self,
        samples: ManifestDataset,
        order: TrainOrder | MixtureOrder | BudgetOrder,
        total: int,
        start: int = 0,
        rank: int = 0,
        world: int = 1,
        bucket: bool = True,
    ) -> None:
        self.samples, self.order = samples, order
        self.total, self.start = total, start
        self.rank, self.world = rank, world
        self.bucket = bucket and bool(samples.texts.columns)

    def __len__(self) -> int:
        return self.total

    def __iter__(self) -> Iterator[Keys]:
        lengths = self.samples.texts.lengths if self.bucket else None
        for batch in self.order.run(self.start, self.total, lengths):
            yield [(int(e), int(row)) for e, row in rank_slice(batch, self.rank, self.world)]


PREFETCH = 4
"""Batches that each worker loads ahead."""


class EvaluationSampler(Sampler[Keys]):
    """Every sample once over all processes, in batches that do not mix corpora."""

    def __init__(
        self, samples: ManifestDataset, batch_size: int, rank: int = 0, world: int = 1
    ) -> None:
        self.batch_size = batch_size
        _, corpora = corpus_codes(samples.samples)
        batches = evaluation_batches(samples.texts.lengths(0), batch_size, rank, world, corpora)
        self.batches = [[(0, int(row)) for row in batch] for batch in batches]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Keys]:
        return iter(self.batches)


class FurtherTexts(Sampler[Keys]):
    """Text-only keys for every text after the first of the samples in another sampler."""

    def __init__(self, samples: ManifestDataset, sampler: EvaluationSampler) -> None:
        rows = [row for batch in sampler for _, row in batch]
        count = samples.texts.columns["text"].count
        keys = [(which, row) for row in rows for which in range(1, count(row))]
        size = sampler.batch_size
        self.batches = [keys[i : i + size] for i in range(0, len(keys), size)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Keys]:
        return iter(self.batches)


class Loader(DataLoader):
    """A DataLoader that reports which file a worker was reading when it died."""

    def __iter__(self) -> Any:
        """Start the workers and return an iterator over batches."""
        with reporting_lost_worker(), group_signals_blocked():
            batches = super().__iter__()
        if not self.num_workers:
            return batches
        watch_workers()
        return Batches(batches)


class Batches:
    """Iterator over the batches of a loader's workers."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches

    def __iter__(self) -> "Batches":
        return self

    def __len__(self) -> int:
        return len(self.batches)

    def __next__(self) -> Any:
        with reporting_lost_worker(self.batches._workers):
            try:
                return next(self.batches)
            except (ConnectionError, EOFError, FileNotFoundError):
                # the worker that shares this memory is gone; its exit is detected shortly after
                wait_for_lost_worker(self.batches._workers)
                raise


def make_loader(
    samples: ManifestDataset,
    sampler: Sampler[Keys],
    num_workers: int | None,
    round_to: int = 1,
    prefetch: int = PREFETCH,
    pin_memory: bool | None = None,
    persistent: bool = False,
) -> DataLoader:
    """Build a data loader.

    Args:
        samples: The dataset.
        sampler: Yields the keys of each batch.
        num_workers: Number of worker processes; None chooses by the number of cores.
        round_to: Text and feature lengths are padded to a multiple of this.
        prefetch: Batches that each worker loads ahead.
        pin_memory: Whether to put batches into page-locked memory; None does so if there is a GPU.
        persistent: Whether to keep the workers from one pass over the loader to the next.
    """
    workers = default_workers() if num_workers is None else num_workers
    notes = Notes(workers) if workers else None
    return Loader(
        samples,
        batch_sampler=sampler,
        collate_fn=collate_of(samples, round_to),
        num_workers=workers,
        pin_memory=torch.cuda.is_available() if pin_memory is None else pin_memory,
        persistent_workers=persistent and workers > 0,
        prefetch_factor=prefetch if workers else None,
        worker_init_fn=partial(init_worker, notes=notes),
    )


def collate_of(samples: ManifestDataset, round_to: int = 1) -> Collate:
    """Return what makes batches of the examples of a dataset.

    Text and feature lengths are padded to a multiple of ``round_to``.
    """
    return Collate(
        samples.modalities,
        samples.needs,
        samples.preparation,
        samples.known,
        round_to,
        samples.mixing.head_corpora,
        {name: entries.part.vector for name, entries in samples.cached.items()},
        {name: entries.part.vector for name, entries in samples.teacher_outputs.items()},
        {name for name, entries in samples.cached.items() if entries.part.card.of_body},
    )


def default_workers() -> int:
    """Return the workers per process: its share of cores minus one for the model, at most eight."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", 1)))
    return max(0, min(8, available_cores() // processes - 1))
