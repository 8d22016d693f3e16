"""Masked language modeling: predict the tokens that were masked."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.counter_rng.tensors import uniform
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.base import Detokenizer, Evaluation, Head
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.layer.masking import lowest_scored
from mmtx_cli.layer.query_decoder import QueryDecoder
from mmtx_cli.metric.pretraining import masked_token_scores
from mmtx_cli.types import IGNORE_INDEX, Batch, ModalityInput, Prediction, Streams, TokenIndex

TEXT = "text"
MASKED, RANDOM = 0.8, 0.1
"""Shares of the selected tokens that are replaced by the mask token and by a random token."""


class MaskedLMHead(Head):
    """Predicts masked tokens of the text from the text encoder's output (BERT, Devlin et al. 2019,
    section 3.1), or with ``streams=[fused]`` from the fusion of the text with the other modalities
    (Lu et al. 2019; Li et al. 2021).
    """

    traits: ClassVar[HeadTraits] = HeadTraits(late_fusion=False, unimodal=True)
    required_modalities: tuple[str, ...] = (TEXT,)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        vocab_size: int,
        mask_id: int | None,
        special_ids: Sequence[int],
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        mask_ratio: float = 0.15,
        max_length: int = 64,
        depth: int = 2,
        num_heads: int = 4,
    ) -> None:
        """``streams`` defaults to the text stream, which must have one vector per token.

        For other streams, a decoder with ``depth`` blocks predicts the tokens, for texts of up to
        ``max_length`` tokens.
        """
        if TEXT not in available:
            raise ValueError(
                "masked language modeling needs text; add an encoder, e.g. "
                "encoder/text=transformer data.text=captions"
            )
        super().__init__(dim, available, [TEXT] if streams is None else streams, weight)
        if mask_id is None:
            raise ValueError("the text encoder's tokenizer has no mask token")
        if not 0 < mask_ratio < 1:
            raise ValueError(f"mask_ratio={mask_ratio} must be between 0 and 1")
        self.vocab_size, self.mask_id, self.mask_ratio = vocab_size, mask_id, mask_ratio
        self.special_ids = list(special_ids)
        aligned = self.streams == (TEXT,)
        self.position = None if aligned else nn.Parameter(torch.empty(max_length, dim))
        self.decoder = None if aligned else QueryDecoder(dim, dim, dim, depth, num_heads)
        self.out = nn.Sequential(
            nn.Linear(dim, dim), nn.GELU(), nn.LayerNorm(dim), nn.Linear(dim, vocab_size)
        )
        if self.position is not None:
            nn.init.normal_(self.position, std=0.02)

    @property
    def raw_modalities(self) -> tuple[str, ...]:
        """Modalities that the head masks."""
        return (TEXT,)

    def prepare_batch(self, batch: Batch) -> Batch:
        """Return the batch with masked tokens. The originals are its targets, [b, k], padded with
        IGNORE_INDEX.

        In evaluation, the masked tokens of a sample are the same every time.
        """
        field = batch.inputs[TEXT]
        special = torch.isin(field.data, field.data.new_tensor(self.special_ids))
        scores = uniform(batch.keys, field.mask.shape[1], "hidden tokens")
        places = lowest_scored(field.mask & ~special, self.mask_ratio, scores)
        target = places.of(field.data)
        data = field.data.scatter(1, places.index, self.corrupted(target, batch.keys))
        data = torch.where(index_mask(places, field.data.shape[1]), data, field.data)
        targets = {"tokens": target.masked_fill(~places.mask, IGNORE_INDEX), "index": places.index}
        inputs = {**batch.inputs, TEXT: ModalityInput(data, field.mask)}
        return replace(batch, inputs=inputs, targets=targets)

    def count(self, batch: Batch) -> Int[Tensor, ""]:
        """Return the number of masked tokens."""
        return (self.prepare_batch(batch).targets["tokens"] != IGNORE_INDEX).sum()

    def corrupted(self, target: Int[Tensor, "b k"], keys: Int[Tensor, " b"]) -> Int[Tensor, "b k"]:
        """Return what replaces each selected token: the mask token, a random token, or itself."""
        choice, other = (uniform(keys, target.shape[1], draw) for draw in ("fate", "other token"))
        other = (other * self.vocab_size).long().clamp(max=self.vocab_size - 1)
        special = torch.isin(other, other.new_tensor(self.special_ids))
        other = other.masked_fill(special, self.mask_id)
        replacement = torch.where(choice < MASKED + RANDOM, other, target)
        return replacement.masked_fill(choice < MASKED, self.mask_id)

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["logits"]`` is [b, k, v], for the masked tokens."""
        target = batch.targets["tokens"]
        logits = self.logits(streams, batch)
        losses = self.nll(logits, target)
        count = (target != IGNORE_INDEX).sum()
        loss = global_mean(losses.sum(), count, shared=self.training)
        return Prediction(loss, {"logits": logits, "count": count})

    def logits(self, streams: Streams, batch: Batch) -> Float[Tensor, "b k v"]:
        """Return the logits of each masked token."""
        index = batch.targets["index"]
        if self.decoder is None:
            x = streams[TEXT].x
            if x.shape[1] != batch.inputs[TEXT].data.shape[1]:
                raise ValueError("masked_lm needs a text encoder with one vector per token")
            x = TokenIndex(index, index >= 0).of(x)
        else:
            assert self.position is not None
            x = self.decoder(self.position[index], *self.context(streams))
        return self.out(x)

    def nll(
        self, logits: Float[Tensor, "b k v"], target: Int[Tensor, "b k"]
    ) -> Float[Tensor, "b k"]:
        """Return the cross-entropy of each masked token; zero for padding."""
        dtype = torch.promote_types(logits.dtype, torch.float32)
        return F.cross_entropy(
            logits.flatten(0, 1).to(dtype), target.flatten(), reduction="none"
        ).view_as(target)

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return for each sample [b] the number of masked tokens (``hidden``), the number predicted
        correctly (``correct``) and their summed cross-entropy (``nll``).
        """
        target = batch.targets["tokens"]
        logits = self.logits(streams, batch)
        return {
            "hidden": (target != IGNORE_INDEX).sum(dim=1),
            "correct": (logits.argmax(dim=2) == target).sum(dim=1),
            "nll": self.nll(logits, target).sum(dim=1),
        }

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return the accuracy and perplexity over all masked tokens."""
        names = ("hidden", "correct", "nll")
        sums = np.array([[float(output[name]) for name in names] for (output,) in outputs])
        rows = [{"hidden": int(n), "correct": int(correct)} for n, correct, _ in sums]
        return Evaluation(rows, masked_token_scores(*sums.T))


def index_mask(index: TokenIndex, n: int) -> Tensor:
    """Return a mask [b, n] that is True at these indices."""
    mask = torch.zeros(len(index.index), n, dtype=torch.bool, device=index.index.device)
    return mask.scatter(1, index.index, index.mask)
