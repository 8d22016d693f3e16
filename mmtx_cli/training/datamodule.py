"""The loaders of a training run: where it begins, and this process' share of each batch."""

from collections import Counter
from typing import Any

from torch.utils.data import DataLoader

from mmtx_cli.config.schema import DataSettings
from mmtx_cli.data.dataset import Samples
from mmtx_cli.data.loader import EvaluationSampler, TrainSampler, make_loader
from mmtx_cli.data.sampling.epoch_order import TrainOrder
from mmtx_cli.data.sampling.mixture_order import MixtureOrder, shares
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.errors import ConfigError
from mmtx_cli.training.accumulation import StepLoader
from mmtx_cli.training.module import TrainingModule

Order = TrainOrder | MixtureOrder

NOTHING = 2**31
"""The number of a text that no sample has: brings a sample that lacks everything."""


class TrainingData(pl.LightningDataModule):
    """One endless run of epochs, of which a checkpoint says at which batch it stands."""

    def __init__(
        self, train: Samples, val: Samples | None, settings: DataSettings, seed: int, round_to: int
    ) -> None:
        super().__init__()
        self.train, self.val = train, val
        self.settings = settings
        self.order = make_order(train, settings, seed)
        self.round_to = round_to
        self.total = 0
        self.start = 0

    def corpus_epochs(self, batches: int) -> dict[str, float]:
        """How often each corpus of a mixture has been through after so many batches."""
        if not isinstance(self.order, MixtureOrder):
            return {}
        parts = zip(
            self.train.mixing.names, self.order.done(batches), self.order.sizes, strict=True
        )
        return {name: float(done / size) for name, done, size in parts}

    def check_world(self, world: int) -> None:
        """Every process must get as many samples of a batch."""
        if self.order.size % world:
            raise ConfigError(
                f"data.batch_size: a batch of {self.order.size} samples cannot be shared evenly by "
                f"{world} devices; choose a multiple of {world}"
            )

    def train_dataloader(self) -> DataLoader | StepLoader:
        """Batches from ``start`` to ``total``; those of a step together if there are several."""
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        sampler = TrainSampler(
            self.train, self.order, self.total, self.start, rank, world, self.settings.bucket
        )
        loader = make_loader(self.train, sampler, self.settings.num_workers, self.round_to)
        parts = self.trainer.accumulate_grad_batches
        if parts == 1:
            return loader
        module = self.trainer.lightning_module
        assert isinstance(module, TrainingModule)
        return StepLoader(loader, parts, self.start // parts, module.prepared)

    def val_dataloader(self) -> DataLoader | list:
        """Every validation sample once over all processes."""
        if self.val is None:
            return []
        assert self.trainer is not None
        size = self.settings.eval_batch_size or self.settings.batch_size
        rank, world = self.trainer.global_rank, self.trainer.world_size
        sampler = EvaluationSampler(self.val, size, rank, world)
        if not sampler.batches:  # Lightning wants every process to validate something
            sampler.batches = [[(NOTHING, 0)]]
        return make_loader(self.val, sampler, self.settings.num_workers, self.round_to)

    def state_dict(self) -> dict[str, Any]:
        """How many batches are done."""
        assert self.trainer is not None
        return {"batch": self.trainer.fit_loop.epoch_loop.batch_progress.current.ready}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Begin behind them."""
        self.start = state_dict["batch"]


def make_order(train: Samples, settings: DataSettings, seed: int) -> Order:
    """Shuffled epochs, or for a mixture those of its corpora by their shares."""
    mixing = train.mixing
    if not mixing.names:
        return TrainOrder(len(train), settings.batch_size, seed)
    counts = Counter(sample.corpus for sample in train.samples)
    sizes = [counts[name] for name in mixing.names]
    share = shares(sizes, mixing.weights, settings.temperature)
    return MixtureOrder(sizes, share, settings.batch_size, seed, settings.mix == "samples")
