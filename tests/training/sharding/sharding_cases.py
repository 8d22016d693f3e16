"""Each model in two processes: sharded, and with DDP, on the same different halves of a batch."""

import traceback
from collections.abc import Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, multiprocessing, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.training.sharding import wrap
from tests.decoders import kinds
from tests.tiny import (
    ENCODERS,
    FUSIONS,
    at_step,
    heads_for,
    raw_of,
    tiny_batch,
    tiny_field,
    tiny_model,
)

WORLD = 2
LENGTHS = ([4, 2, 7], [3, 0, 1])
"""Of the inputs of each process. In the second one, one sample lacks what all others have."""
TEXT = ([4, 0, 7], [0, 0, 0])
"""No sample of the second process has a text."""


def by_fusion(fusion: str) -> MultimodalModel:
    """A model of all heads on a fusion."""
    return tiny_model(fusion, heads_for(fusion))


def by_encoder(modality: str, name: str) -> MultimodalModel:
    args = [f"encoder/{modality}={name}"]
    return tiny_model("concat", ["classification"], [modality], args)


def by_decoder(args: Sequence[str]) -> MultimodalModel:
    return tiny_model("concat", ["captioning"], ["image"], args)


CASES: dict[str, Callable[[], MultimodalModel]] = {
    **{f"fusion {name}": partial(by_fusion, name) for name in FUSIONS},
    **{f"encoder {m} {name}": partial(by_encoder, m, name) for m, name in ENCODERS},
    **{" ".join(args[:2]): partial(by_decoder, args) for args in kinds()},
}
QUICK = ("fusion bottleneck", "decoder=transformer")


def batch_of(case: str, model: MultimodalModel, rank: int) -> Any:
    """The half of the batch that a process has."""
    counts = {name: TEXT[rank] if name == "text" else LENGTHS[rank] for name in model.encoder}
    if case.startswith("encoder"):
        counts = dict.fromkeys(model.encoder, LENGTHS[rank])
    batch = tiny_batch(model, counts, seed=rank)
    if case.startswith("encoder"):
        _, modality, name = case.split()
        field = tiny_field(raw_of(modality, name), LENGTHS[rank], rank)
        batch.inputs[modality] = field
    batch.ids = [f"{rank} {i}" for i in batch.ids]
    return at_step(batch, 3)


def step(model: nn.Module, batch: Any, rank: int) -> Tensor:
    """The loss of all heads, forwards and backwards."""
    torch.manual_seed(rank)
    loss = torch.stack([x.loss for x in model(batch).values()]).sum()
    loss.backward()
    return loss.detach()


def validate(model: MultimodalModel, batch: Any, times: int) -> None:
    """Run the whole model in this process, so many times."""
    wrap.gather_parameters(model)
    model.eval()
    with torch.no_grad():
        for _ in range(times):
            model(batch)
    model.train()
    wrap.release_parameters(model)


def whole(gradient: Tensor | None) -> Tensor | None:
    return gradient.full_tensor() if isinstance(gradient, DTensor) else gradient


def compared(case: str, rank: int) -> dict[str, Any]:
    """How far a step of the sharded model is from one with DDP."""
    model = CASES[case]().train()
    batch = batch_of(case, model, rank)
    reference = CASES[
        case
    ]().train()  # no copy: a connector's hooks would run the original's blocks
    ddp = DistributedDataParallel(reference, find_unused_parameters=True)
    losses = [step(ddp, batch, rank)]
    wrap.shard(model, init_device_mesh("cpu", (WORLD,)))
    blocks = len(wrap.sharded_modules(model)) - 1
    losses.append(step(model, batch, rank))
    wrap.average_whole_gradients([*model.parameters()])
    found = {n: whole(p.grad) for n, p in model.named_parameters()}
    wanted = {n: p.grad for n, p in reference.named_parameters()}
    assert found.keys() == wanted.keys()
    differences = {"loss": (losses[0] - losses[1]).abs().item() / losses[0].abs().item()}
    for name, gradient in wanted.items():
        other = found[name]
        if gradient is None or other is None:  # one of them may know that nothing used it
            left = [g.abs().max().item() for g in (gradient, other) if g is not None and g.numel()]
            differences[name] = max(left, default=0.0)
        elif gradient.numel():
            scale = max(1.0, gradient.abs().max().item())
            differences[name] = (gradient - other).abs().max().item() / scale
    worst = max(differences, key=differences.__getitem__)
    validate(model, batch, times=2 * rank)
    step(model, batch, rank)  # processes would wait for each other if they gathered other blocks
    learning = sum(bool(g is not None and g.any()) for g in found.values()) / len(found)
    return {
        "blocks": blocks,
        "worst": worst,
        "difference": differences[worst],
        "learning": learning,
    }


def process(rank: int, folder: str, cases: Sequence[str]) -> None:
    """All cases in one process; the first writes what it found."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=f"file://{folder}/meeting",
        rank=rank,
        world_size=WORLD,
        timeout=timedelta(seconds=100),
    )
    found: dict[str, Any] = {}
    for case in cases:
        try:
            found[case] = compared(case, rank)
        except BaseException as error:
            found[case] = {"error": f"{type(error).__name__}: {traceback.format_exc()[-3000:]}"}
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()


def results(folder: Path, cases: Sequence[str]) -> dict[str, Any]:
    """What the first process found in each case."""
    context = multiprocessing.start_processes(
        process, (str(folder), cases), WORLD, join=True, start_method="fork"
    )
    assert context is None
    return torch.load(folder / "0.pt", weights_only=True)
