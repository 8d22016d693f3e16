"""Texts of many inputs: waiting inputs take the places of finished ones in a batch."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mmtx_cli.counter_rng import id_tensor, step_keys
from mmtx_cli.distributed.launch import Process
from mmtx_cli.inference.caption_plan import Plan
from mmtx_cli.inference.predict import inference
from mmtx_cli.io.console import make_bar, paused
from mmtx_cli.layer.context import Context
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch


class Pending:
    """Batches in their order, with the outputs of their inputs as they arrive in any order."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, Batch]] = []
        self.outputs: dict[int, dict[str, Tensor]] = {}
        self.count = 0

    def add(self, batch: Batch) -> None:
        """Wait for the outputs of the inputs of a batch."""
        self.batches.append((self.count, batch))
        self.count += len(batch)

    def complete(self) -> Iterator[tuple[Batch, list[dict[str, Tensor]]]]:
        """Yield the first batches that have all of their outputs."""
        while self.batches:
            first, batch = self.batches[0]
            numbers = range(first, first + len(batch))
            if not all(i in self.outputs for i in numbers):
                return
            del self.batches[0]
            yield batch, [self.outputs.pop(i) for i in numbers]


def texts_of(
    model: MultimodalModel,
    head: Any,
    batches: Iterable[Batch],
    device: torch.device,
    seed: int,
    identity: Callable[[str], str],
) -> Iterator[tuple[Batch, list[dict[str, Tensor]]]]:
    """Yield each batch and the outputs of a captioning head for its inputs, in their order.

    Args:
        model: The model.
        head: The head.
        batches: Batches of inputs that are generated together.
        device: Device of the model.
        seed: With the identity of an input, seeds its random numbers.
        identity: Returns a name of the sample with an id that does not depend on the other inputs.
    """
    pending = Pending()

    def contexts() -> Iterator[tuple[Context, Tensor]]:
        for loaded in batches:
            keys = step_keys(id_tensor(map(identity, loaded.ids)), seed, 0)
            batch = head.prepare_batch(replace(loaded, keys=keys).to(device, True))
            pending.add(loaded)
            yield head.decoder_context(model.fusion(model.encode(batch)), batch), batch.keys

    for numbers, texts in head.generate(contexts()):
        for number, output in zip(numbers.tolist(), head.outputs(texts), strict=True):
            pending.outputs[number] = output
        yield from pending.complete()


def generated_texts(
    model: MultimodalModel,
    name: str,
    loader: DataLoader,
    process: Process,
    precision: str,
    seed: int,
    identity: Callable[[str], str],
    part_of: Callable[[str], int],
    plan: Plan,
) -> Iterator[tuple[Batch, list[dict[str, Tensor]]]]:
    """Yield each batch and the outputs of a captioning head for its inputs, in their order.

    Args:
        model: The model.
        name: Name of the head.
        loader: Loads the batches.
        process: This process.
        precision: Lightning's name of the precision.
        seed: With the identity of an input, seeds its random numbers.
        identity: Returns a name of the sample with an id that does not depend on the other inputs.
        part_of: Returns the part of a sample: only inputs of one part are generated together.
        plan: What all processes do, for the progress bar.
    """
    bar = progress_bar(process.shows_progress)
    total = bar.add_task("captions", total=len(plan.pieces), completed=plan.finished())
    with inference(process.device, precision), bar:
        for _, part in groupby(loader, key=lambda batch: part_of(batch.ids[0])):
            done = plan.finished()
            found = texts_of(model, model.head[name], part, process.device, seed, identity)
            for batch, outputs in found:
                done += len(batch)
                bar.update(total, completed=done)
                with paused(bar):  # so that the caller may print
                    yield batch, outputs


def progress_bar(shown: bool) -> Any:
    """Return a bar with the number of files, files per second and the time left."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    class Speed(TextColumn):
        """Files per second."""

        def render(self, task: Any) -> Any:
            """Return the speed."""
            from rich.text import Text

            return Text("" if task.speed is None else f"{task.speed:.3g} files/s")

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(""),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return make_bar(*columns, shown=shown, transient=True)
