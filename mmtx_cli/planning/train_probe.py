"""Measure the memory and the time of training with real steps, also on the largest batches."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from mmtx_cli.config.schema import TrainerSettings
from mmtx_cli.data.loader import (
    EvaluationSampler,
    TrainSampler,
    collate_of,
    default_workers,
    make_loader,
)
from mmtx_cli.data.sampling.budget_order import BudgetOrder
from mmtx_cli.distributed.launch import is_single_process
from mmtx_cli.distributed.launcher import LIGHTNING_ERRORS
from mmtx_cli.distributed.lightning import pl
from mmtx_cli.errors import ConfigError
from mmtx_cli.planning.folder import size_of
from mmtx_cli.planning.footprint import (
    components_of,
    device_name,
    memory_parts,
    peak,
)
from mmtx_cli.planning.largest import batch_of, largest_examples
from mmtx_cli.planning.request import Request
from mmtx_cli.planning.saved_tensors import SavedTensors
from mmtx_cli.planning.timed import Timed, loader_seconds
from mmtx_cli.runs.run_config import TrainConfig
from mmtx_cli.runs.run_dir import open_run
from mmtx_cli.training.assemble import (
    RunData,
    build_module,
    build_trainer,
    load_weights,
    make_loaders,
    read_data,
)
from mmtx_cli.training.batches.accumulation import StepLoader
from mmtx_cli.training.datamodule import TrainingData
from mmtx_cli.training.module import TrainingModule
from mmtx_cli.training.run import check_monitor, finish
from mmtx_cli.training.trainer import RunLength, fit, silence_lightning
from mmtx_cli.types import Batch

LARGEST_STEPS = 3
"""Steps on the largest batch: the first one sets up the optimizer, the second one is measured."""
SINGLE: dict[str, Any] = {"devices": 1, "num_nodes": 1, "strategy": "auto"}


class ProbeData(TrainingData):
    """The samples of a run, as one of its devices sees them: the largest first, then in order."""

    def __init__(
        self, data: TrainingData, module: TrainingModule, world: int, at_end: Callable[[], None]
    ) -> None:
        """Take over the samples and their order.

        Args:
            data: The data of the run.
            module: The module that is trained.
            world: Number of devices of the run.
            at_end: Called after the last step.
        """
        super().__init__(data.train, data.val, data.settings, 0, data.round_to)
        self.order, self.module, self.world, self.at_end = data.order, module, world, at_end
        self.examples = largest_examples(data.train)
        self.validation, self.val = self.val, None  # validated by itself
        self.timed: Timed | None = None

    def largest(self) -> Batch:
        """Return the largest batch of a device.

        Of batches that are filled by tokens, that is the one with most, counted with padding.
        """
        if isinstance(self.order, BudgetOrder):
            rows = self.order.largest()
            share = rows[: len(rows) // self.world]
            return collate_of(self.train, self.round_to)([self.train[(0, int(i))] for i in share])
        size = self.order.size // self.world
        return batch_of(self.examples, self.train, size, self.round_to)

    def batches_from(self, start: int = 0) -> Any:
        """Return the loader of a device, from a micro-batch on."""
        sampler = TrainSampler(
            self.train,
            self.order,
            self.total,
            start,
            0,
            self.world,
            self.settings.length_bucketing,
        )
        return self.loader(self.train, sampler)

    def train_dataloader(self) -> Any:
        """Return the largest batches, followed by those of the run."""
        parts = self.module.accumulate
        loader = self.batches_from()
        grouped = (
            StepLoader(loader, parts, LARGEST_STEPS, self.module.prepared) if parts > 1 else loader
        )

        def first() -> Iterator[Batch]:
            batch = self.largest()
            for step in range(LARGEST_STEPS):
                group = [batch] * parts
                yield from self.module.prepared(group, step) if parts > 1 else group

        untimed = LARGEST_STEPS * parts
        self.timed = Timed(first, grouped, untimed=untimed, parts=parts, at_end=self.at_end)
        return self.timed

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint stores."""
        return {"batch": 0}


def measure_training(request: Request, begun: float, write: Callable[[dict], None]) -> None:
    """Write the figures of a training run in one line.

    Args:
        request: The settings; its run folder holds what is written meanwhile.
        begun: Time at which this process was started.
        write: Writes the figures.
    """
    run = request.run
    assert isinstance(run, TrainConfig)
    source, module, loaders, length, world = assembled(run)
    check_monitor(run.trainer, module.model.head)
    built = time.time() - begun
    open_run(source.run.plain)
    settings = replace(source.run.trainer, **SINGLE, progress=False)
    total = min(10_000 * settings.accumulate_grad_batches, 2**31)
    probe = RunLength(total, total // settings.accumulate_grad_batches)
    trainer, save = build_trainer(replace(source.run, trainer=settings), module, loaders, probe)
    saved = SavedTensors(settings.accumulate_grad_batches)
    if not settings.compile:
        trainer.callbacks.append(saved)  # type: ignore[attr-defined]
    found: dict[str, Any] = {}

    def at_end() -> None:
        found["parts"] = memory_parts(trainer, module)
        start = time.perf_counter()
        trainer.save_checkpoint(save.last_path, weights_only=False)
        found["save_seconds"] = time.perf_counter() - start
        found["checkpoint_bytes"] = size_of(save.last_path)

    data = ProbeData(loaders, module, world, at_end)
    fit(trainer, module, data, probe, settings, None)  # type: ignore[arg-type]
    assert data.timed is not None
    start = time.perf_counter()
    finish(source.run, source.config, module, save)
    found["finish_seconds"] = time.perf_counter() - start
    found["model_bytes"] = size_of(run.run_dir / "model")
    found["validation"] = validation(data, module, settings)
    found["peak"] = peak()
    found["activations"] = saved.bytes
    workers = data.settings.num_workers
    found["workers"] = default_workers() if workers is None else workers
    done = len(data.timed.busy)
    found["loader"] = loader_seconds(data.batches_from(done)) if found["workers"] else None
    found |= {
        "world": world,
        "device": device_name(trainer),
        "built_seconds": built,
        "steps": length.steps,
        "counts_steps": run.trainer.max_steps is not None,
        "components": components_of(module.model),
    }
    write(found | figures_of(data))


def figures_of(data: ProbeData) -> dict[str, Any]:
    """Return the figures of the loaders and of the steps."""
    assert data.timed is not None
    return {
        "first_seconds": data.timed.first_seconds,
        "loader_start": data.timed.start_seconds,
        "step": data.timed.figures,
        "accumulate": data.module.accumulate,
        "epoch_batches": len(data.order),
        "batch_size": data.order.size,
        "train_samples": len(data.train),
        "val_samples": len(data.validation or ()),
    }


def assembled(
    run: TrainConfig, divides: bool = True
) -> tuple[RunData, TrainingModule, TrainingData, RunLength, int]:
    """Return the data, the module, the loaders, the length and the number of devices of a run.

    ``divides``: whether the devices have to divide the batch evenly.
    """
    silence_lightning()
    source = read_data(run)
    module = build_module(source)
    loaders, length = make_loaders(source, module)
    load_weights(source, module)
    world, local = world_of(run.trainer)
    if divides:
        loaders.check_world(world)
    if local > 1:  # as each of the processes of a machine
        os.environ["LOCAL_WORLD_SIZE"] = str(local)
        if "OMP_NUM_THREADS" not in os.environ:
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // local))
    return source, module, loaders, length, world


def world_of(settings: TrainerSettings) -> tuple[int, int]:
    """Return the number of devices of a run, and of those of one machine."""
    if is_single_process(settings):
        return 1, 1
    try:
        trainer = pl.Trainer(
            accelerator=settings.accelerator,
            devices=settings.devices,
            num_nodes=settings.num_nodes,
            strategy=settings.strategy,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
    except LIGHTNING_ERRORS as error:
        raise ConfigError(f"trainer: {' '.join(str(error).split())}") from error
    return trainer.num_devices * trainer.num_nodes, trainer.num_devices


def validation(
    data: ProbeData, module: TrainingModule, settings: TrainerSettings
) -> dict[str, float] | None:
    """Return the seconds of a validation batch, and how many there are; None without samples.

    Args:
        data: The data.
        module: The trained module.
        settings: The settings of the trainer.
    """
    if data.validation is None:
        return None
    size = data.settings.eval_batch_size or data.settings.batch_size
    samples = data.validation
    sampler = EvaluationSampler(samples, size, 0, data.world)
    examples = largest_examples(samples)
    largest = batch_of(examples, samples, min(size, len(samples)), data.round_to)
    loader = make_loader(samples, sampler, data.settings.num_workers, data.round_to)
    timed = Timed(lambda: [largest], loader, untimed=1, skipped=1, most=20, seconds=6.0)
    pl.Trainer(
        accelerator=settings.accelerator,
        devices=1,
        precision=settings.precision,  # type: ignore[arg-type]
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    ).validate(module, dataloaders=timed, verbose=False)
    return {
        "batches": len(sampler),
        "start": timed.start_seconds,
        **{f"batch_{name}": value for name, value in timed.figures.items() if name != "batches"},
    }
