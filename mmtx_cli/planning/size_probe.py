"""Try batches of growing size with real steps, until memory or the samples run out."""

import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch

from mmtx_cli.data.loader import PREFETCH, default_workers
from mmtx_cli.distributed.launch import is_single_process
from mmtx_cli.planning.batch_size import KEPT, LONGEST
from mmtx_cli.planning.inference_probe import work_of
from mmtx_cli.planning.largest import batch_of
from mmtx_cli.planning.memory import available_memory, high_water, reset_high_water, resident
from mmtx_cli.planning.request import Request
from mmtx_cli.planning.saved_tensors import nbytes
from mmtx_cli.planning.train_probe import SINGLE, ProbeData, assembled, world_of
from mmtx_cli.runs.run_config import RunConfig, TrainConfig
from mmtx_cli.runs.variant import variant
from mmtx_cli.training.activation_checkpointing import recompute_blocks
from mmtx_cli.training.assemble import build_trainer
from mmtx_cli.training.module import TrainingModule
from mmtx_cli.training.trainer import RunLength
from mmtx_cli.types import Batch

STEPS = 2

Writer = Callable[[dict], None]


class FixedBatches(ProbeData):
    """The same batch in each step."""

    batch: Batch

    def train_dataloader(self) -> Any:
        """Return the micro-batches of a few steps."""
        return Repeated(self.module, self.batch)


class Repeated:
    """Yields a batch, prepared as the micro-batches of each step; not a list, of which Lightning
    takes each item for a loader.
    """

    def __init__(self, module: TrainingModule, batch: Batch) -> None:
        self.module, self.batch = module, batch

    def __len__(self) -> int:
        return STEPS * self.module.accumulate

    def __iter__(self) -> Iterator[Batch]:
        group = [self.batch] * self.module.accumulate
        for step in range(STEPS):
            yield from self.module.prepared(group, step) if len(group) > 1 else group


def try_training_sizes(request: Request, write: Writer) -> None:
    """Write a line for each size with the memory that it needs and the seconds of a step.

    Args:
        request: The settings; ``most`` in its options is the largest size, over all devices.
        write: Writes a line.
    """
    run, free, before = request.run, free_memory(), used_memory()
    assert isinstance(run, TrainConfig)
    source, module, loaders, _, world = assembled(run, divides=False)
    settings = replace(source.run.trainer, **SINGLE, progress=False)
    module.model.encode_batch = settings.encoder_micro_batch
    if settings.activation_checkpointing:
        recompute_blocks(module.model)
    if settings.compile:
        module.model.compile()
    data = FixedBatches(loaders, module, world, lambda: None)
    most = min(len(loaders.train), request.options.get("most") or len(loaders.train))
    length = RunLength(STEPS * module.accumulate, STEPS)
    workers = data.settings.num_workers
    workers = default_workers() if workers is None else workers
    for size in sizes(request.options["least"], most // world):
        begun = time.perf_counter()
        data.batch = batch_of(data.examples, data.train, size, data.round_to)
        data.total = length.batches
        begin_measuring()
        trainer, _ = build_trainer(replace(source.run, trainer=settings), module, loaders, length)
        trainer.fit(module, datamodule=data)
        # batches that wait for their turn, while the process has one of them
        waiting = 0 if on_gpu() else workers * PREFETCH * nbytes(batch_tensors(data.batch))
        line = {"size": size * world, "needed": needed(before) + waiting, "free": free}
        write(line | {"seconds": time.perf_counter() - begun, "most": most // world * world})
        del trainer
        if is_last(line, time.perf_counter() - begun):
            return


def try_inference_sizes(request: Request, write: Writer) -> None:
    """Write a line for each size of the batches of ``eval`` and ``caption``, as for training."""
    run: RunConfig = request.run
    free, before = free_memory(), used_memory()
    is_onnx = getattr(run, "is_onnx", False)
    world = 1 if is_onnx or is_single_process(run.trainer) else world_of(run.trainer)[0]
    run = replace(run, trainer=replace(run.trainer, **SINGLE))
    items, work = work_of(run, request.options)
    most = min(len(items) // world, request.options.get("most") or len(items))
    for size in sizes(request.options["least"], max(1, most)):
        begun = time.perf_counter()
        begin_measuring()
        work(variant(run, run.run_dir / str(size), eval_batch_size=size), items[:size])
        line = {"size": size, "needed": needed(before), "free": free, "most": most}
        write(line | {"seconds": time.perf_counter() - begun})
        if is_last(line, time.perf_counter() - begun):
            return


def sizes(least: int, most: int) -> Iterator[int]:
    """Yield the powers of two from ``least`` to ``most``; at least one."""
    size = min(least, 2 ** (max(1, most).bit_length() - 1))
    while size <= most:
        yield size
        size *= 2


def is_last(line: dict, seconds: float) -> bool:
    """Return True if a size took long, or leaves too little memory free.

    The size after the first that leaves too little is not tried: it would only need more.
    """
    too_large = line["free"] is not None and line["needed"] > (1 - KEPT) * line["free"]
    return too_large or seconds > LONGEST


def batch_tensors(batch: Batch) -> Iterator[torch.Tensor]:
    """Yield the input tensors of a batch."""
    for field in batch.inputs.values():
        yield from (field.data, field.mask)


def on_gpu() -> bool:
    """Return True if the model is on a GPU."""
    return torch.cuda.is_available() and torch.cuda.max_memory_allocated() > 0


def free_memory() -> int | None:
    """Return the bytes that are available before anything is measured."""
    if torch.cuda.is_available():
        return torch.cuda.mem_get_info()[0]
    return available_memory()


def used_memory() -> int:
    """Return the bytes that this process has."""
    return 0 if torch.cuda.is_available() else resident() or 0


def begin_measuring() -> None:
    """Free what an earlier trial has left, and measure the peak anew."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    reset_high_water()


def needed(before: int) -> int:
    """Return the bytes that were needed at most, beyond those ``before``."""
    if on_gpu():
        return torch.cuda.max_memory_reserved()
    return max(0, (high_water() or 0) - before)
