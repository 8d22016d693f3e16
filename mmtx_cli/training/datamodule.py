"""Data loaders of a training run, with resuming and sharding over processes."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from torch.utils.data import DataLoader

from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.loader import EvaluationSampler, TrainSampler, make_loader
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.facts import corpus_codes
from mmtx_cli.data.sampling.budget_order import BudgetOrder
from mmtx_cli.data.sampling.epoch_order import TrainOrder
from mmtx_cli.data.sampling.mixture_order import MixtureOrder, shares
from mmtx_cli.data.sampling.shard_order import ShardOrder, shard_paths
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.errors import ConfigError
from mmtx_cli.training.batches.accumulation import StepLoader
from mmtx_cli.training.batches.device_prefetch import DevicePrefetch
from mmtx_cli.training.batches.token_budget import budget_order, check_budget_world
from mmtx_cli.training.module import TrainingModule

Order = TrainOrder | MixtureOrder | BudgetOrder

EMPTY_INDEX = 2**31
"""Index of a text that no sample has: loads an empty sample without any modality."""
NO_SHARDS = (
    "data.order=shards: the training samples are not in tar shards; pack them with `mmtx data "
    "action=shard`, or set data.order=random"
)


class TrainingData(pl.LightningDataModule):
    """Loads an endless sequence of epochs; a checkpoint stores the position as a batch count."""

    def __init__(
        self,
        train: ManifestDataset,
        val: ManifestDataset | None,
        settings: DataSettings,
        seed: int,
        round_to: int,
    ) -> None:
        """Set up the order of the training samples.

        Args:
            train: Training samples.
            val: Validation samples, if any.
            settings: Data settings.
            seed: Seed of the shuffling.
            round_to: Lengths of token sequences are padded to a multiple of this.
        """
        super().__init__()
        self.train, self.val = train, val
        self.settings = settings
        self.order = make_order(train, settings, seed)
        self.round_to = round_to
        self.total = 0
        self.start = 0

    def corpus_epochs(self, batches: int) -> dict[str, float]:
        """Return the epochs completed of each dataset of a mixture after ``batches`` batches."""
        if not isinstance(self.order, MixtureOrder):
            return {}
        parts = zip(
            self.train.mixing.names, self.order.done(batches), self.order.sizes, strict=True
        )
        return {name: float(done / size) for name, done, size in parts}

    def check_world(self, world: int) -> None:
        """Raise ConfigError unless a batch divides evenly among ``world`` processes."""
        if isinstance(self.order, BudgetOrder):
            check_budget_world(self.order, world)
        elif self.order.size % world:
            raise ConfigError(
                f"data.batch_size: a batch of {self.order.size} samples cannot be divided evenly "
                f"among {world} devices; use a multiple of {world}"
            )

    def train_dataloader(self) -> DataLoader | DevicePrefetch | StepLoader:
        """Return batches ``start`` to ``total``, grouped by step with gradient accumulation."""
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        sampler = TrainSampler(
            self.train,
            self.order,
            self.total,
            self.start,
            rank,
            world,
            self.settings.length_bucketing,
        )
        loader: Any = self.loader(self.train, sampler)
        if self.settings.prefetch:
            device = self.trainer.strategy.root_device
            loader = DevicePrefetch(loader, device, self.settings.prefetch)
        parts = self.trainer.accumulate_grad_batches
        if parts == 1:
            return loader
        module = self.trainer.lightning_module
        assert isinstance(module, TrainingModule)
        return StepLoader(loader, parts, self.start // parts, module.prepared)

    def val_dataloader(self) -> DataLoader | list:
        """Return every validation sample once, split over all processes."""
        if self.val is None:
            return []
        assert self.trainer is not None
        size = self.settings.eval_batch_size or self.settings.batch_size
        rank, world = self.trainer.global_rank, self.trainer.world_size
        sampler = EvaluationSampler(self.val, size, rank, world)
        if not sampler.batches:  # Lightning requires a batch in every process
            sampler.batches = [[(EMPTY_INDEX, 0)]]
        return self.loader(self.val, sampler, self.settings.persistent_workers)

    def loader(
        self, samples: ManifestDataset, sampler: Any, persistent: bool = False
    ) -> DataLoader:
        """Return the loader of a sampler's batches; ``persistent`` keeps its workers."""
        s = self.settings
        return make_loader(
            samples,
            sampler,
            s.num_workers,
            self.round_to,
            s.prefetch_factor,
            s.pin_memory,
            persistent,
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of batches processed."""
        assert self.trainer is not None
        return {"batch": self.trainer.fit_loop.epoch_loop.batch_progress.current.ready}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue after the last processed batch."""
        self.start = state_dict["batch"]


def make_order(train: ManifestDataset, settings: DataSettings, seed: int) -> Order:
    """Return shuffled epochs; for a mixture, batches drawn from its datasets by their shares.

    With ``data.token_budget``, batches are filled by tokens.
    """
    if settings.token_budget is not None:
        return budget_order(train, settings, seed)
    mixing = train.mixing
    if not mixing.names:
        return epoch_order(train.samples, settings, seed)
    names, codes = corpus_codes(train.samples)
    counts = dict(zip(names, np.bincount(codes).tolist(), strict=True))
    sizes = [counts.get(name, 0) for name in mixing.names]
    share = shares(sizes, mixing.weights, settings.temperature)
    ends = np.cumsum([0, *sizes])
    orders = [
        epoch_order(train.samples[begin:end], settings, seed + i)
        for i, (begin, end) in enumerate(pairwise(ends.tolist()))
    ]
    if settings.order == "shards" and not any(getattr(order, "paths", ()) for order in orders):
        raise ConfigError(NO_SHARDS)
    mixed = settings.mixture_mode == "samples"
    return MixtureOrder(sizes, share, settings.batch_size, seed, mixed, orders)


def epoch_order(samples: Sequence[Sample], settings: DataSettings, seed: int) -> TrainOrder:
    """Return the order of the epochs of one data set."""
    size = settings.batch_size
    if settings.order != "shards":
        return TrainOrder(len(samples), size, seed)
    shards, paths = shard_paths(samples)
    if not paths and not settings.mixture:
        raise ConfigError(NO_SHARDS)
    return ShardOrder(len(samples), size, seed, shards, settings.shard_window, paths)
