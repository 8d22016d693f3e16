"""Matching: classify whether two modalities come from the same sample."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.counter_rng.tensors import mix_tensor, uniform
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import gather, gather_unequal, global_mean, rank
from mmtx_cli.head.base import SHOWN, Detokenizer, Evaluation, Head
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.readout import Readout
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import FUSED, Batch, Prediction, Streams, Tokens


class MatchingHead(Head):
    """Distinguishes samples from negatives in which one modality comes from another sample
    (image-text matching, Chen et al. 2020).

    Negatives are sampled by their similarity according to a contrastive head of the same model
    (ALBEF, Li et al. 2021, section 3.2), or uniformly without one.
    """

    traits: ClassVar[HeadTraits] = HeadTraits(
        predicts=True, late_fusion=False, compares_samples=True, makes_negatives=True
    )
    metrics: tuple[str, ...] = ("accuracy",)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        pair: Sequence[str] | None = None,
        dropout: float = 0.0,
    ) -> None:
        """``pair`` names the two modalities to match (default: the only two)."""
        super().__init__(dim, available, streams, weight)
        if self.streams != (FUSED,):
            raise ValueError("matching needs a fused stream; use e.g. fusion=cross_attention")
        modalities = [name for name in available if name != FUSED]
        self.pair = tuple(sorted(modalities if pair is None else pair))
        if len({*self.pair}) != 2 or not {*self.pair} <= {*modalities}:
            raise ValueError(f"pair: name two of {', '.join(modalities)}, e.g. pair=[image,text]")
        self.required_modalities = self.pair
        self.readout = Readout(dim, self.streams, 1, dropout)

    def make_negatives(
        self,
        encoded: Streams,
        predictions: Mapping[str, Prediction],
        keys: Int[Tensor, " b"],
    ) -> Streams:
        """Return three times the samples: as they are, and with either modality of the pair
        replaced.

        In training, the replacement can come from a sample of another process.
        """
        one, other = self.pair
        shared = self.training
        both = encoded[one].present & encoded[other].present
        with torch.no_grad():
            all_processes = gather(both, shared), gather(keys, shared)
            index = torch.arange(len(both), device=both.device) + (rank() * len(both) * shared)
            negative_of_one, negative_of_other = (
                self.negative_index(sim, index, keys, *all_processes)
                for sim in self.similarity(predictions, both)
            )
        has_negative = both & (all_processes[0].sum() > 1)
        sources = {one: [index, index, negative_of_other], other: [index, negative_of_one, index]}
        valid = torch.cat([both, has_negative, has_negative])
        streams = {n: gathered(x, shared) if n in sources else x for n, x in encoded.items()}
        return {name: rearranged(x, sources.get(name), valid) for name, x in streams.items()}

    def similarity(
        self, predictions: Mapping[str, Prediction], both: Bool[Tensor, " b"]
    ) -> tuple[Float[Tensor, "b g"], Float[Tensor, "b g"]]:
        """Return similarity logits from each modality of the pair to the other one in all
        processes.

        They are zero if the model has no contrastive head for the pair.
        """
        shared = self.training
        for prediction in predictions.values():
            outputs = prediction.outputs
            if {*self.pair} <= outputs.keys():
                one, other = (outputs[name].float() for name in self.pair)
                scale = outputs["scale"]
                return one @ gather(other, shared).T * scale, other @ gather(one, shared).T * scale
        zeros = torch.zeros(len(both), len(gather(both, shared)), device=both.device)
        return zeros, zeros

    def negative_index(
        self,
        sim: Float[Tensor, "b g"],
        index: Int[Tensor, " b"],
        keys: Int[Tensor, " b"],
        valid: Bool[Tensor, " g"],
        all_keys: Int[Tensor, " g"],
    ) -> Int[Tensor, " b"]:
        """Return the index of a negative for each sample: sampled in training, else the most
        similar.

        The probabilities are a softmax over ``sim``, sampled with the Gumbel-max trick; the noise
        is a function of the keys of both samples.

        Args:
            sim: Similarity logits to the samples of all processes.
            index: Index of each sample among those of all processes.
            keys: Random key of each sample.
            valid: Which samples of all processes have both modalities.
            all_keys: Random keys of the samples of all processes.
        """
        logits = sim.masked_fill(~valid, -torch.inf).scatter(1, index[:, None], -torch.inf)
        logits = torch.where(logits.isfinite().any(dim=1, keepdim=True), logits, 0.0)
        if self.training:
            u = uniform(mix_tensor(keys)[:, None] ^ all_keys, 1, "another sample")[..., 0]
            logits = logits - u.clamp(min=2.0**-25).log().neg().log()
        return logits.argmax(dim=1)

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["logits"]`` is [3 b]: the samples, then the negatives."""
        logits = self.readout(streams)[:, 0]
        valid = streams[FUSED].present
        target = torch.zeros_like(logits)
        target[: len(logits) // 3] = 1
        losses = F.binary_cross_entropy_with_logits(
            logits.float(), target.float(), reduction="none"
        )
        count = valid.sum()
        loss = global_mean((losses * valid).sum(), count, shared=self.training)
        outputs = {"logits": logits, "count": count}
        if self.training:
            return Prediction(loss, outputs)
        accuracy = (((logits > 0) == (target > 0)) & valid).sum() / count.clamp(min=1)
        return Prediction(loss, outputs, {"accuracy": accuracy})

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return ``probability`` [b] that a sample's modalities match."""
        return {"probability": self.readout(streams)[:, 0].sigmoid()}

    def predictions(
        self,
        outputs: Sequence[Mapping[str, Tensor]],
        tokenizer: Detokenizer | None,
        top: int = SHOWN,
    ) -> list[dict[str, Any]]:
        """Return the probability that a sample's modalities match."""
        return [{"probability": float(output["probability"])} for output in outputs]

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return the share of samples classified as matching; all of them are true pairs."""
        rows = self.predictions([output for (output,) in outputs], tokenizer)
        probabilities = np.array([row["probability"] for row in rows])
        return Evaluation(rows, Scores.means({"matched": (probabilities > 0.5).astype(np.float64)}))


def gathered(tokens: Tokens, shared: bool) -> Tokens:
    """Return the tokens of the samples of all processes."""
    return Tokens(gather_unequal(tokens.x, shared), gather_unequal(tokens.mask, shared))


def rearranged(
    tokens: Tokens, parts: Sequence[Int[Tensor, " b"]] | None, valid: Bool[Tensor, " r"]
) -> Tokens:
    """Return the rows of each of ``parts``, concatenated.

    The result is absent where ``valid`` is False, and everywhere if ``parts`` is None.
    """
    if parts is None:
        shape = (len(valid), *tokens.mask.shape[1:])
        return Tokens(tokens.x.new_zeros(*shape, tokens.x.shape[2]), valid.new_zeros(shape))
    rows = torch.cat([*parts])
    mask = tokens.mask[rows] & valid[:, None]
    return Tokens(tokens.x[rows].masked_fill(~mask[..., None], 0), mask)
