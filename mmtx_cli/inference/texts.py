"""Texts of many inputs: waiting inputs take the places of finished ones in a batch."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mmtx_cli.counter_rng.tensors import id_tensor, step_keys
from mmtx_cli.data.loader import PREFETCH, make_loader
from mmtx_cli.data.text.columns import TEXT_TARGETS
from mmtx_cli.distributed.process import Process
from mmtx_cli.errors import ConfigError
from mmtx_cli.inference.caption_plan import Plan
from mmtx_cli.inference.explained.captions import Explainer
from mmtx_cli.inference.inputs import InputReader
from mmtx_cli.inference.output_lines import CaptionedBatch
from mmtx_cli.inference.part_sampler import PartSampler
from mmtx_cli.inference.predict import inference, load_model
from mmtx_cli.io.console import files_bar, paused
from mmtx_cli.layer.context import Context
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.runs.run_config import CaptionConfig
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
    bar = files_bar(process.shows_progress)
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


def captions(
    run: CaptionConfig, process: Process, plan: Plan, reader: InputReader
) -> Iterator[CaptionedBatch]:
    """Yield the texts of the parts of a plan that this process takes, in batches.

    Args:
        run: The settings.
        process: This process.
        plan: What there is to do.
        reader: Reads the inputs.

    Raises:
        ConfigError: if the model cannot caption files.
    """
    model = load_model(run, process.device)
    name = captioning_head(run.ckpt, model)
    head, data, pieces = model.head[name], run.data, plan.pieces
    samples = reader.files(pieces, [str(i) for i in range(len(pieces))], run.text)
    sampler = PartSampler(plan, data.eval_batch_size or data.batch_size)
    # a part is taken when its first batch is loaded: what is loaded ahead, others cannot take
    prefetch = PREFETCH if process.world == 1 else 1
    loader = make_loader(samples, sampler, data.num_workers, prefetch=prefetch)

    def identity(index: str) -> str:
        return pieces[int(index)].identity

    def part_of(index: str) -> int:
        return int(index) // plan.size

    batches = generated_texts(
        model, name, loader, process, run.trainer.precision, run.seed, identity, part_of, plan
    )
    explainer = Explainer.of(run, model, name, reader, pieces)
    for batch, outputs in batches:
        if explainer is not None:
            explainer.write(batch, outputs)
        texts = head.predictions(outputs, reader.tokenizer)
        yield CaptionedBatch(batch.ids, batch.read_errors, texts)


def captioning_head(ckpt: str | None, model: Any) -> str:
    """Return the name of the head that generates texts; ``ckpt`` is for messages.

    Raises:
        ConfigError: if the model cannot caption files.
    """
    heads = [name for name, head in model.head.items() if {*TEXT_TARGETS} & {*head.targets}]
    if not heads or not {"image", "video", "audio"} & set(model.encoder):
        raise ConfigError(
            f"ckpt={ckpt}: this model cannot caption files (heads: {', '.join(model.head)}; "
            f"encoders: {', '.join(model.encoder)}); fine-tune it with head=captioning, or use "
            "`mmtx predict` instead of `mmtx caption` for the predictions of its heads"
        )
    return heads[0]
