"""Contrastive alignment of modalities in one embedding space."""

import math
from collections.abc import Sequence
from itertools import combinations, permutations
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.data.sample import Sample
from mmtx_cli.error import DataError
from mmtx_cli.head.base import Detokenizer, Evaluation, Head
from mmtx_cli.layer.distributed import gather, global_mean, rank
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.metric.recall import recall_scores
from mmtx_cli.metric.retrieval import retrieval_ranks
from mmtx_cli.types import FUSED, Batch, Prediction, Streams

MAX_SCALE = 100.0


class ContrastiveHead(Head):
    """Pulls the embeddings of one sample's modalities together and others' apart.

    ``loss="infonce"``: softmax over the batch, both ways, with a learned temperature (Radford et
    al. 2021, figure 3). ``loss="sigmoid"``: every pair on its own, with a learned scale and bias
    (Zhai et al. 2023, algorithm 1). Negatives come from all processes.
    """

    scores_every_text: ClassVar[bool] = True

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
        loss: str = "infonce",
        embed_dim: int = 256,
        temperature: float = 0.07,
    ) -> None:
        """``reads`` defaults to all modalities; every pair of them is aligned.

        ``temperature`` is where the learned one starts; the sigmoid form starts at 0.1.
        """
        unimodal = [name for name in streams if name != FUSED]
        super().__init__(dim, streams, unimodal if reads is None else reads, weight)
        if len(self.reads) < 2:
            raise ValueError(
                f"contrast needs two streams, reads is {list(self.reads)}; add an encoder, e.g. "
                "encoder/text=transformer data.text=captions"
            )
        if loss not in ("infonce", "sigmoid"):
            raise ValueError(f"loss={loss!r} is neither 'infonce' nor 'sigmoid'")
        self.form = loss
        self.project = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, embed_dim, bias=False))
                for name in self.reads
            }
        )
        start = temperature if loss == "infonce" else 0.1
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / start)))
        self.bias = nn.Parameter(torch.tensor(-10.0)) if loss == "sigmoid" else None

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """``outputs[name]`` is the unit embedding of a stream, [b, embed_dim]; ``count`` pairs."""
        outputs = {name: self.embed(streams, name) for name in self.reads}
        present = {name: streams[name].present for name in self.reads}
        pairs = list(combinations(self.reads, 2))
        losses = [self.align(outputs[a], outputs[b], present[a] & present[b]) for a, b in pairs]
        count = torch.stack([(present[a] & present[b]).sum() for a, b in pairs]).sum()
        return Prediction(torch.stack(losses).mean(), {**outputs, "count": count})

    def embed(self, streams: Streams, name: str) -> Float[Tensor, "b e"]:
        """Mean of the tokens, projected to the unit sphere."""
        stream = streams[name]
        return F.normalize(self.project[name](masked_mean(stream.x, stream.mask)), dim=1)

    def align(
        self, a: Float[Tensor, "b e"], b: Float[Tensor, "b e"], paired: Bool[Tensor, " b"]
    ) -> Float[Tensor, ""]:
        """Loss of one pair of modalities over the samples that have both."""
        shared = self.training
        everyone = gather(paired, shared)
        rows = torch.arange(len(a), device=a.device) + (rank() * len(a) if shared else 0)
        scale = self.scale()
        ways = [(a, gather(b, shared)), (b, gather(a, shared))]
        with torch.autocast(a.device.type, enabled=False):  # half precision blurs what is large
            logits = [scale * query.float() @ keys.float().T for query, keys in ways]
        if self.form == "sigmoid":
            total = self.sigmoid(logits[0], rows, everyone, paired)
        else:
            total = self.infonce(logits, rows, everyone, paired)
        return global_mean(total, paired.sum(), shared)

    def scale(self) -> Float[Tensor, ""]:
        """What similarities are multiplied by, at most MAX_SCALE.

        The parameter itself is held back, as CLIP does: a clamp of its exponential would have no
        gradient beyond the limit, and so no way back.
        """
        if self.training:
            with torch.no_grad():
                self.log_scale.clamp_(max=math.log(MAX_SCALE))
        return self.log_scale.exp()

    def infonce(
        self, logits: list[Tensor], rows: Tensor, everyone: Tensor, paired: Tensor
    ) -> Float[Tensor, ""]:
        """Sum over the pairs of the cross-entropy to find the partner, mean of both ways."""
        total = torch.zeros((), device=rows.device)
        for way in logits:
            closed = way.masked_fill(~everyone[None, :], -torch.inf)
            opened = torch.where(paired[:, None], closed, 0.0)
            total = total + (F.cross_entropy(opened, rows, reduction="none") * paired).sum() / 2
        return total

    def sigmoid(
        self, logits: Tensor, rows: Tensor, everyone: Tensor, paired: Tensor
    ) -> Float[Tensor, ""]:
        """Sum over all pairs of a sample with a sample: is it the partner?"""
        assert self.bias is not None
        sign = -torch.ones_like(logits)
        sign[torch.arange(len(rows), device=rows.device), rows] = 1.0
        each = -F.logsigmoid(sign * (logits + self.bias))
        return (each * (paired[:, None] & everyone[None, :])).sum()

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Embeddings, and for each stream which samples have it."""
        present = {f"{name}_present": streams[name].present for name in self.reads}
        return {name: self.embed(streams, name) for name in self.reads} | present

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """Recall at 1, 5 and 10 from every stream it reads to every other.

        A sample that lacks one of them is among what is searched, and asks for nothing. Two
        streams that no sample has both of have no figures.
        """
        sides = {name: side(outputs, name) for name in self.reads}
        ranks = {}
        for asking, asked in permutations(self.reads, 2):
            (queries, owner), (items, item_owner) = sides[asking], sides[asked]
            paired = torch.isin(owner, item_owner)
            if paired.any():
                rank = retrieval_ranks(queries[paired], items, owner[paired], item_owner)
                ranks[f"{asking}_to_{asked}"] = rank.numpy(), owner[paired].numpy()
        if not ranks:
            few = " and ".join(self.reads)
            raise DataError(f"no sample has two of {few}: nothing can be retrieved")
        scores = recall_scores(ranks, len(samples))
        rows = [
            {name: finite(values[i]) for name, values in scores.per_sample.items()}
            for i in range(len(samples))
        ]
        return Evaluation(rows, scores)


def side(outputs: list[list[dict[str, Tensor]]], name: str) -> tuple[Tensor, Tensor]:
    """Embeddings [q, embed_dim] of all that is there of a stream, and the sample of each [q]."""
    every = torch.stack([output[name] for several in outputs for output in several]).float()
    there = torch.stack([output[f"{name}_present"] for several in outputs for output in several])
    owner = torch.tensor([i for i, several in enumerate(outputs) for _ in several])
    return every[there], owner[there]


def finite(value: float) -> float | None:
    """A number that JSON can hold."""
    return float(value) if math.isfinite(value) else None
