"""Contrastive alignment of modalities in a shared embedding space."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import gather, global_mean, rank
from mmtx_cli.errors import DataError
from mmtx_cli.head.base import WRITTEN, Detokenizer, Evaluation, Head
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.contrastive_loss import infonce, sigmoid
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.metric.retrieval.chance import chance_scores, correct_counts
from mmtx_cli.metric.retrieval.equal_texts import TEXT, pair_ranks, text_ids
from mmtx_cli.metric.retrieval.recall import CUTS, recall_scores
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import FUSED, Batch, Prediction, Streams

MAX_SCALE = 100.0
CHUNK = 64
"""Number of samples whose similarities to all texts are computed at a time."""


class ContrastiveHead(Head):
    """Pulls the embeddings of a sample's modalities together and pushes those of other samples
    apart.

    ``loss="infonce"``: softmax over the batch in both directions, with a learned temperature (CLIP,
    Radford et al. 2021, figure 3). ``loss="sigmoid"``: an independent sigmoid loss for each pair,
    with a learned scale and bias (SigLIP, Zhai et al. 2023, algorithm 1). Negatives are of all
    processes: gathered for InfoNCE, passed from process to process for the sigmoid loss.
    """

    traits: ClassVar[HeadTraits] = HeadTraits(
        predicts=True, scores_every_text=True, contrastive=True, compares_samples=True
    )

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        loss: str = "infonce",
        embed_dim: int = 256,
        temperature: float = 0.07,
        pairs: Sequence[Sequence[str]] | None = None,
    ) -> None:
        """``streams`` defaults to all modalities; ``pairs`` are the pairs to align, such as
        ``[[image,text],[audio,text]]`` (default: all pairs).

        ``temperature`` is the initial value of the learned temperature; the sigmoid loss starts at
        0.1.
        """
        unimodal = [name for name in available if name != FUSED]
        super().__init__(dim, available, unimodal if streams is None else streams, weight)
        if len(self.streams) < 2:
            raise ValueError(
                f"the contrastive head needs two streams, but streams is {list(self.streams)}; "
                "add an encoder, e.g. encoder/text=transformer data.text=captions"
            )
        if loss not in ("infonce", "sigmoid"):
            raise ValueError(f"loss={loss!r} is neither 'infonce' nor 'sigmoid'")
        self.embedding_outputs = self.streams
        self.pairs = self.pairs_to_align(pairs)
        self.loss = loss
        self.project = nn.ModuleDict(
            {
                name: nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, embed_dim, bias=False))
                for name in self.streams
            }
        )
        start = temperature if loss == "infonce" else 0.1
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / start)))
        self.bias = nn.Parameter(torch.tensor(-10.0)) if loss == "sigmoid" else None

    def pairs_to_align(self, pairs: Sequence[Sequence[str]] | None) -> list[tuple[str, str]]:
        """Return the pairs to align, without duplicates and sorted by name."""
        if pairs is None:
            return list(combinations(self.streams, 2))
        for pair in pairs:
            if isinstance(pair, str) or len({*pair}) != 2 or not {*pair} <= {*self.streams}:
                raise ValueError(f"pairs: {pair} must be two of {', '.join(self.streams)}")
        if left := [name for name in self.streams if not any(name in pair for pair in pairs)]:
            raise ValueError(f"pairs: {', '.join(left)} is not in any pair; remove it from streams")
        return sorted({(min(pair), max(pair)) for pair in pairs})

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the mean loss of the pairs; ``outputs[name]`` is the unit embedding of a stream,
        [b, embed_dim], and ``outputs["count"]`` the number of positive pairs.
        """
        outputs = {name: self.embed(streams, name) for name in self.streams}
        present = {name: streams[name].present for name in self.streams}
        has_both = {(a, b): present[a] & present[b] for a, b in self.pairs}
        pair_losses = [
            self.pair_loss(outputs[a], outputs[b], paired) for (a, b), paired in has_both.items()
        ]
        losses, nonempty = (torch.stack(x) for x in zip(*pair_losses, strict=True))
        count = torch.stack([*has_both.values()]).sum()
        result = {**outputs, "count": count, "scale": self.log_scale.detach().exp()}
        # a data set may have no samples for some of the pairs
        return Prediction(losses.sum() / nonempty.sum().clamp(min=1), result)

    def embed(self, streams: Streams, name: str) -> Float[Tensor, "b e"]:
        """Return the mean of the tokens, projected and L2-normalized."""
        stream = streams[name]
        return F.normalize(self.project[name](masked_mean(stream.x, stream.mask)), dim=1)

    def pair_loss(
        self, a: Float[Tensor, "b e"], b: Float[Tensor, "b e"], paired: Bool[Tensor, " b"]
    ) -> tuple[Float[Tensor, ""], Bool[Tensor, ""]]:
        """Return the loss of one pair of modalities over the samples that have both, and whether
        there are any.
        """
        shared = self.training
        everyone = gather(paired, shared)
        rows = torch.arange(len(a), device=a.device)
        scale = self.scale()
        with torch.autocast(a.device.type, enabled=False):  # large logits need full precision
            a, b = (x.to(torch.promote_types(x.dtype, torch.float32)) for x in (a, b))
            if self.bias is None:
                index = rows + (rank() * len(a) if shared else 0)
                total = infonce(a, gather(b, shared), scale, index, paired, everyone, shared)
            else:
                total = sigmoid(a, b, scale, self.bias, rows, paired, paired, shared)
        return global_mean(total, paired.sum(), shared), everyone.any()

    def scale(self) -> Float[Tensor, ""]:
        """Return the factor that multiplies the similarities, at most MAX_SCALE.

        The parameter itself is clamped, as in CLIP: clamping its exponential would have no gradient
        above the limit, so the scale could not decrease again.
        """
        if self.training:
            with torch.no_grad():
                self.log_scale.clamp_(max=math.log(MAX_SCALE))
        return self.log_scale.exp()

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return the embeddings and, for each stream, which samples have it."""
        present = {f"{name}_present": streams[name].present for name in self.streams}
        return {name: self.embed(streams, name) for name in self.streams} | present

    def nearest_texts(
        self,
        outputs: Sequence[Mapping[str, Tensor]],
        texts: Sequence[str],
        vectors: Float[Tensor, "m e"],
        top: int,
    ) -> list[dict[str, Any]]:
        """Return the ``top`` nearest texts of each sample with their cosines, for each stream it
        has.

        Args:
            outputs: The output of ``predict`` for each sample.
            texts: The candidate texts.
            vectors: Unit embeddings of the texts.
            top: Number of texts to return; ties are broken by order.
        """
        rows: list[dict[str, list[list[Any]]]] = [{} for _ in outputs]
        for name in self.text_partners():
            present = [i for i, output in enumerate(outputs) if output[f"{name}_present"]]
            for chunk in (present[i : i + CHUNK] for i in range(0, len(present), CHUNK)):
                cosines = torch.stack([outputs[i][name] for i in chunk]).float() @ vectors.T
                best = cosines.argsort(dim=1, descending=True, stable=True)[:, :top]
                for i, cosine, indices in zip(chunk, cosines, best.tolist(), strict=True):
                    rows[i][name] = [[texts[j], float(cosine[j])] for j in indices]
        return [{"nearest": row} for row in rows]

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return recall at 1, 5 and 10 for each aligned pair in both directions."""
        return self.evaluate_retrieval(outputs, samples, self.pairs, CUTS)

    def evaluate_retrieval(
        self,
        outputs: list[list[dict[str, Tensor]]],
        samples: list[Sample],
        pairs: Sequence[tuple[str, str]],
        cuts: Sequence[int],
    ) -> Evaluation:
        """Return recall at ``cuts`` and the median rank for each pair in both directions.

        A sample that lacks one of the two streams is part of the gallery but is not a query. A pair
        that no sample has both streams of has no metrics. Identical texts count as one item, which
        is correct for every sample that has it.

        Args:
            outputs: The outputs of ``predict`` for each sample.
            samples: The samples.
            pairs: Pairs of streams to search between.
            cuts: Ranks at which to compute recall.

        Raises:
            DataError: If no sample has both streams of any pair.
        """
        sides = {name: embeddings_of(outputs, name) for name in self.streams}
        ranks = {}
        for a, b in pairs:
            a_to_b, b_to_a = pair_ranks(sides, a, b, texts_of(outputs))
            directions = {
                f"{a}_to_{b}": (a_to_b, sides[a][1]),
                f"{b}_to_{a}": (b_to_a, sides[b][1]),
            }
            for direction, (query_ranks, query_owner) in directions.items():
                if (is_query := query_ranks >= 0).any():
                    ranks[direction] = query_ranks[is_query].numpy(), query_owner[is_query].numpy()
        if not ranks:
            names = " and ".join(sorted({name for pair in pairs for name in pair}))
            raise DataError(f"no sample has two of {names}: retrieval is not possible")
        scores = recall_scores(dict(sorted(ranks.items())), len(samples), cuts)
        rows = [
            {
                name: float(x[i]) if math.isfinite(x[i]) else None
                for name, x in scores.per_sample.items()
            }
            for i in range(len(samples))
        ]
        return Evaluation(rows, scores)

    def chance(
        self, outputs: list[list[dict[str, Tensor]]], samples: Sequence[Sample]
    ) -> Scores | None:
        """Return the expected recall of a random order for each aligned pair."""
        return self.retrieval_chance(outputs, samples, self.pairs, CUTS)

    def retrieval_chance(
        self,
        outputs: list[list[dict[str, Tensor]]],
        samples: Sequence[Sample],
        pairs: Sequence[tuple[str, str]],
        cuts: Sequence[int],
    ) -> Scores:
        """Return the expected recall at ``cuts`` if the items of each stream are in random order.

        The queries and correct items are those of ``evaluate_retrieval``.

        Args:
            outputs: The outputs of ``predict`` for each sample.
            samples: The samples.
            pairs: Pairs of streams to search between.
            cuts: Ranks at which to compute recall.
        """
        sides = {name: embeddings_of(outputs, name) for name in self.streams}
        queries = {}
        texts = texts_of(outputs)
        for pair in pairs:
            a, b = sorted(pair, key=lambda name: name == TEXT)  # identical texts are one item
            owner, other_owner = sides[a][1], sides[b][1]
            ids = text_ids(texts if b == TEXT and texts else range(len(other_owner)))
            a_to_b, b_to_a = correct_counts(owner, other_owner, ids)
            directions = {f"{a}_to_{b}": (*a_to_b, owner), f"{b}_to_{a}": (*b_to_a, other_owner)}
            for direction, (num_correct, items, query_owner) in directions.items():
                if (is_query := num_correct > 0).any():
                    queries[direction] = (
                        num_correct[is_query].numpy(),
                        items,
                        query_owner[is_query].numpy(),
                    )
        return chance_scores(dict(sorted(queries.items())), len(samples), cuts)


def texts_of(outputs: list[list[dict[str, Any]]]) -> list[str]:
    """Return the texts of the samples in the order of ``embeddings_of``; empty if unknown."""
    flat = [output for sample_outputs in outputs for output in sample_outputs]
    return [output[WRITTEN] for output in flat if WRITTEN in output and output[f"{TEXT}_present"]]


def embeddings_of(outputs: list[list[dict[str, Tensor]]], name: str) -> tuple[Tensor, Tensor]:
    """Return the embeddings [q, embed_dim] of a stream and the sample index of each [q].

    Outputs that lack the stream are skipped.
    """
    flat = [(i, output) for i, sample_outputs in enumerate(outputs) for output in sample_outputs]
    embeddings = torch.stack([output[name] for _, output in flat]).float()
    present = torch.stack([output[f"{name}_present"] for _, output in flat])
    return embeddings[present], torch.tensor([i for i, _ in flat])[present]
