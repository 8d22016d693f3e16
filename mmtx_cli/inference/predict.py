"""Run a trained model over batches and collect the outputs of every head for every view."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from mmtx_cli.config.cross_checks import is_trained
from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.counter_rng.tensors import step_keys
from mmtx_cli.distributed.process import Process
from mmtx_cli.io.allocator import keep_freed_memory
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.checkpoint import read_weights
from mmtx_cli.io.console import make_bar, paused
from mmtx_cli.layer.linear.packed import pack
from mmtx_cli.model.build import build_model
from mmtx_cli.model.constrain import constrain
from mmtx_cli.model.match_weights import build_fitting
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.runs.run_config import RunConfig
from mmtx_cli.types import Batch, Streams

View = Callable[[Streams], Streams]
"""Transforms the encoded samples before fusion."""

Outputs = dict[str, list[tuple[str, dict[str, torch.Tensor]]]]
"""By head: (sample id, outputs of that sample), in no particular order."""


def load_model(run: RunConfig, device: torch.device) -> MultimodalModel:
    """Return the trained model of ``run`` with its weights, without evaluation-only heads."""
    heads = {name: node for name, node in run.head.items() if is_trained(node)}
    config = {"model": {**run.model, "head": heads}, "early": run.stored.get("early")}
    model = build_fitting(
        lambda: build_model(config, run.trusted_packages),
        read_weights(str(run.ckpt)),
        f"ckpt={run.ckpt}",
    )
    constrain(model, run.stored.get("tokenizer"))
    if device.type == "cpu":
        keep_freed_memory()
        pack(model)
    return model.eval().to(device)


def predict(
    model: MultimodalModel,
    heads: Sequence[str],
    loader: DataLoader,
    process: Process,
    precision: str,
    seed: int,
    views: Sequence[View] | None = None,
) -> Iterator[tuple[Batch, list[dict[str, dict[str, torch.Tensor]]]]]:
    """Yield each batch and its outputs on the CPU, with a progress bar in the first process.

    There is one set of outputs for each of ``views``; samples are encoded once.

    Args:
        model: The model.
        heads: Names of the heads to run.
        loader: Loads the batches.
        process: This process.
        precision: Lightning's name of the precision.
        seed: With the id of a sample, seeds the random numbers of sampled texts.
        views: Transforms of the encoded samples (default: only the samples as they are).
    """
    label = ", ".join(name for name in heads if not name.startswith("_")) or "samples"
    bar = make_bar(shown=process.shows_progress, transient=True)
    with inference(process.device, precision), bar:
        for batch in bar.track(loader, description=label):
            if any(draws(model.head[name]) for name in heads):
                batch = replace(batch, keys=step_keys(batch.keys, seed, 0))
            on_device = batch.to(process.device, non_blocking=True)
            answers = model.predict_views(on_device, heads, views or [dict])
            outputs = [{n: on_cpu(o) for n, o in answer.items()} for answer in answers]
            with paused(bar):  # so that the caller may print
                yield batch, outputs


def draws(head: torch.nn.Module) -> bool:
    """Return True if a head samples texts."""
    settings = getattr(head, "generation", None)
    return isinstance(settings, GenerationSettings) and settings.do_sample


@contextmanager
def inference(device: torch.device, precision: str) -> Iterator[None]:
    """Compute without gradients, in Lightning's ``precision``."""
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    cast = torch.autocast(device.type, dtype=dtype) if dtype else nullcontext()
    with torch.inference_mode(), cast:
        yield


def on_cpu(outputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the tensors on the CPU."""
    return {name: x.cpu() for name, x in outputs.items()}


def by_sample(outputs: Mapping[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Split a batch's outputs into one dict per sample; copies, so that the batch can be freed."""
    rows = {name: x.unbind(0) for name, x in outputs.items()}
    count = len(next(iter(rows.values())))
    return [{name: x[i].clone() for name, x in rows.items()} for i in range(count)]


def merge(local: Outputs, process: Process, folder: Path, name: str = "outputs") -> Outputs:
    """Write the outputs of every process to a file; return all in the first process, {} in others.

    Args:
        local: Outputs of this process.
        process: This process.
        folder: Folder of the files.
        name: Name of the files. Successive calls need different names, since other processes may
            write their next outputs before these are read.
    """
    if process.world == 1:
        return local
    part = folder / f".{name}-{process.rank}.pt"
    with atomic_write(part) as temporary:
        torch.save(local, temporary)
    process.barrier()
    if not process.is_first:
        return {}
    merged: Outputs = {}
    for rank in range(process.world):
        path = folder / f".{name}-{rank}.pt"
        for head, rows in torch.load(path, weights_only=True).items():
            merged.setdefault(head, []).extend(rows)
        path.unlink()
    return merged
