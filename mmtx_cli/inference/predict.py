"""A trained model run over batches: the outputs of every head, on every view of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader

from mmtx_cli.config.cross_checks import is_trained
from mmtx_cli.distributed.launch import Process
from mmtx_cli.io.atomic import replaced
from mmtx_cli.io.checkpoint import read_weights
from mmtx_cli.io.console import make_bar, paused
from mmtx_cli.model.build import build_model
from mmtx_cli.model.match_weights import build_fitting
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch, Streams

View = Callable[[Streams], Streams]
"""What is made of encoded samples before they are fused."""

Outputs = dict[str, list[tuple[str, dict[str, torch.Tensor]]]]
"""By head: (sample id, that sample's outputs), in no particular order."""


def load_model(cfg: DictConfig, device: torch.device) -> MultimodalModel:
    """The model that ``cfg`` describes after it inherited from ``cfg.ckpt``, with its weights."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    plain["head"] = {name: node for name, node in plain["head"].items() if is_trained(node)}
    trusted = tuple(cfg.trusted_packages)
    model = build_fitting(
        lambda: build_model({"model": plain}, trusted),
        read_weights(cfg.ckpt),
        f"ckpt={cfg.ckpt}",
    )
    return model.eval().to(device)


def predict(
    model: MultimodalModel,
    heads: Sequence[str],
    loader: DataLoader,
    process: Process,
    precision: str,
    views: Sequence[View] | None = None,
) -> Iterator[tuple[Batch, list[dict[str, dict[str, torch.Tensor]]]]]:
    """Run every batch, with a progress bar in the first process; outputs come back on the CPU.

    There is one set of outputs for each of the ``views`` (default: the samples as they are);
    encoding is done once.
    """
    label = ", ".join(name for name in heads if not name.startswith("_")) or "samples"
    dtype = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}.get(precision)
    cast = torch.autocast(process.device.type, dtype=dtype) if dtype else nullcontext()
    bar = make_bar(shown=process.is_first, transient=True)
    with torch.inference_mode(), cast, bar:
        for batch in bar.track(loader, description=label):
            there = batch.to(process.device, non_blocking=True)
            answers = model.answers(there, heads, views or [dict])
            outputs = [{n: on_cpu(o) for n, o in answer.items()} for answer in answers]
            with paused(bar):  # the caller may print
                yield batch, outputs


def on_cpu(outputs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Tensors on the CPU."""
    return {name: x.cpu() for name, x in outputs.items()}


def by_sample(outputs: Mapping[str, torch.Tensor]) -> list[dict[str, torch.Tensor]]:
    """Cut a batch's outputs into one dict a sample; copies, so that batches can be freed."""
    rows = {name: x.unbind(0) for name, x in outputs.items()}
    count = len(next(iter(rows.values())))
    return [{name: x[i].clone() for name, x in rows.items()} for i in range(count)]


def merge(mine: Outputs, process: Process, folder: Path, name: str = "outputs") -> Outputs:
    """Every process writes its own, the first reads all; there is no other exchange.

    Another process may have written what it has next before these are read: by another ``name``.
    """
    if process.world == 1:
        return mine
    part = folder / f".{name}-{process.rank}.pt"
    with replaced(part) as temporary:
        torch.save(mine, temporary)
    process.barrier()
    if not process.is_first:
        return {}
    every: Outputs = {}
    for rank in range(process.world):
        path = folder / f".{name}-{rank}.pt"
        for head, rows in torch.load(path, weights_only=True).items():
            every.setdefault(head, []).extend(rows)
        path.unlink()
    return every
