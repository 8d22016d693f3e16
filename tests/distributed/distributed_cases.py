"""Two processes, each with its half of a batch, against one process with all of it.

Each case is a small model (a shared layer in front of a head) and a batch; the halves lack
different numbers of samples, tokens and labels. Whole models encode a part of their half at a time
(``PARTS``), and with dropout, too.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mmtx_cli.decoder.base import Decoder
from mmtx_cli.decoder.transformer import TransformerDecoder
from mmtx_cli.head.base import Head
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.head.classification import ClassificationHead
from mmtx_cli.head.contrastive import ContrastiveHead
from mmtx_cli.head.distillation import DistillationHead
from mmtx_cli.head.matching import MatchingHead
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.types import FUSED, IGNORE_INDEX, Batch, ModalityInput, Tokens
from tests.decoders import language_model as lm_args
from tests.decoders import tiny_decoder
from tests.tiny import tiny_batch, tiny_model

WORLD, BATCH, DIM, VOCAB = 2, 6, 8, 11


class Teacher(nn.Module):
    """Says something fixed of the first vectors of a modality."""

    def pooled_features(self, field: ModalityInput) -> Tensor:
        return masked_mean(field.data.sin(), field.mask)

    def pooled_width(self) -> int:
        return DIM


def language_model() -> Decoder:
    """A tiny one, that packs texts."""
    sizes = (f"dim={DIM}", f"vocab_size={VOCAB}", "max_length=64")
    decoder = tiny_decoder(
        ("decoder=huggingface", "connector=prefix", *lm_args("llama"), "decoder.pack=20", *sizes), 1
    )
    return decoder.float()


CASES: dict[str, Callable[[], Head]] = {
    "infonce": partial(ContrastiveHead, DIM, ["image", "text"], embed_dim=4),
    "sigmoid": partial(ContrastiveHead, DIM, ["image", "text"], embed_dim=4, loss="sigmoid"),
    "infonce of three": partial(ContrastiveHead, DIM, ["audio", "image", "text"], embed_dim=4),
    "feature distillation": partial(DistillationHead, DIM, ["image"], "image", Teacher()),
    "relation distillation": partial(
        DistillationHead, DIM, ["image"], "image", Teacher(), kind="relation"
    ),
    "matching": partial(
        MatchingHead, DIM, ["audio", "image", "text", FUSED], pair=["image", "text"]
    ),
    "captioning": partial(
        CaptioningHead,
        DIM,
        ["image"],
        2,
        3,
        lambda num_streams: TransformerDecoder(VOCAB, DIM, depth=1, num_heads=2, dropout=0.0),
    ),
    "captioning by a language model": partial(
        CaptioningHead, DIM, ["image"], 2, 3, lambda num_streams: language_model()
    ),
    "classification": partial(ClassificationHead, DIM, ["image", "text"], ["a", "b", "c"]),
    "several labels": partial(
        ClassificationHead, DIM, ["image"], ["a", "b", "c"], multi_label=True
    ),
}


class Small(nn.Module):
    """A layer that all streams share, and a head."""

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.layer = nn.Linear(DIM, DIM)
        self.head = head

    def forward(self, x: dict[str, Tensor], mask: dict[str, Tensor], batch: Batch) -> Tensor:
        streams = {name: Tokens(self.layer(x[name]), mask[name]) for name in x}
        if self.head.streams == (FUSED,):  # matching's samples, and those put together
            rows = [torch.cat([getattr(t, k) for t in streams.values()]) for k in ("x", "mask")]
            streams = {FUSED: Tokens(*rows)}
        loss = self.head(streams, batch).loss
        assert loss is not None
        return loss


def small(case: str) -> Small:
    """The same weights in every process."""
    torch.manual_seed(1)
    return Small(CASES[case]()).train()


def inputs(rows: slice) -> tuple[dict[str, Tensor], dict[str, Tensor], Batch]:
    """Some rows of the one batch that there is."""
    random = torch.Generator().manual_seed(2)
    absent = {"image": [4], "text": [0, 4, 5], "audio": [1]}
    x, mask = {}, {}
    for name, missing_rows in absent.items():
        x[name] = torch.randn(BATCH, 3, DIM, generator=random)
        mask[name] = torch.ones(BATCH, 3, dtype=torch.bool)
        mask[name][missing_rows] = False
    captions = torch.randint(4, VOCAB, (BATCH, 7), generator=random)
    for row, length in enumerate([7, 6, 7, 2, 3, 0]):
        captions[row, length:] = IGNORE_INDEX
    label = torch.tensor([0, 1, 2, IGNORE_INDEX, IGNORE_INDEX, 1])
    several = torch.randint(0, 2, (BATCH, 3), generator=random)
    several[3:5] = IGNORE_INDEX
    targets = {"captions": captions, "label": label, "several": several}
    batch = Batch(
        {"image": ModalityInput(x["image"], mask["image"])}, targets, [*map(str, range(BATCH))]
    )
    part = batch.map(lambda t: t[rows])
    return {k: v[rows] for k, v in x.items()}, {k: v[rows] for k, v in mask.items()}, part


def loss_and_gradients(case: str, model: nn.Module, rows: slice) -> dict[str, Tensor]:
    """One step forwards and backwards."""
    x, mask, batch = inputs(rows)
    if case == "several labels":
        batch.targets["label"] = batch.targets["several"]
    loss = model(x, mask, batch)
    loss.backward()
    unwrapped = getattr(model, "module", model)
    return {"loss": loss.detach()} | {k: p.grad for k, p in unwrapped.named_parameters()}


def single() -> dict[str, Any]:
    """Each case in this process."""
    return {case: loss_and_gradients(case, small(case), slice(None)) for case in CASES}


PARTS = ("infonce", "sigmoid")


class Whole(nn.Module):
    """A dual encoder composed from conf/."""

    def __init__(self, form: str, dropout: float) -> None:
        super().__init__()
        args = [f"encoder.{m}.dropout={dropout}" for m in ("text", "image")]
        args.append(f"head.contrastive.loss={form}")
        self.model = tiny_model("decision", ["contrastive"], args=args).train()

    def forward(self, batch: Batch) -> Tensor:
        loss = self.model(batch)["contrastive"].loss
        assert loss is not None
        return loss


def whole(form: str, rows: slice, size: int | None, dropout: float = 0.0) -> dict[str, Tensor]:
    """One step of a dual encoder on some rows, ``size`` of them encoded at a time."""
    wrapper = Whole(form, dropout)
    wrapper.model.encode_batch = size
    counts = {"text": [3, 0, 5, 2, 7, 1], "image": [1, 1, 0, 1, 1, 1]}
    batch = tiny_batch(wrapper.model, counts).map(lambda t: t[rows])
    batch.ids = batch.ids[rows]
    shared = dist.is_initialized()
    model = DistributedDataParallel(wrapper) if shared else wrapper
    torch.manual_seed(5)
    loss = model(batch)
    loss.backward()
    total_loss = loss.detach()
    if shared:
        dist.all_reduce(total_loss)
        total_loss /= WORLD
    return {"loss": total_loss} | {k: p.grad for k, p in wrapper.model.named_parameters()}


def parts(rows: slice) -> dict[str, dict[str, Tensor]]:
    """Steps of dual encoders in parts; with dropout, also with nothing computed anew."""
    found = {}
    for form in PARTS:
        found[form] = whole(form, rows, 2)
        found[f"{form}, dropout"] = whole(form, rows, 2, 0.5)
        with patch("mmtx_cli.model.multimodal.checkpoint", lambda f, x, **_: f(x)):
            found[f"{form}, dropout, all kept"] = whole(form, rows, 2, 0.5)
    return found


def process(rank: int, folder: str) -> None:
    """Each case in one process of several; the first writes down what they found together."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=WORLD
    )
    share = BATCH // WORLD
    rows = slice(rank * share, (rank + 1) * share)
    found = {}
    for case in CASES:
        result = loss_and_gradients(case, DistributedDataParallel(small(case)), rows)
        dist.all_reduce(result["loss"])
        found[case] = result | {"loss": result["loss"] / WORLD}
    torch.save({"cases": found, "parts": parts(rows)}, Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
