"""Prefix language modeling: predict the continuation of a text."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.counter_rng.tensors import uniform
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.decoder.base import shifted
from mmtx_cli.decoder.transformer import TransformerDecoder
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.base import Detokenizer, Evaluation, Head
from mmtx_cli.layer.context import Context
from mmtx_cli.metric.pretraining import perplexity_scores
from mmtx_cli.types import IGNORE_INDEX, Batch, ModalityInput, Prediction, Streams

TEXT = "text"


class PrefixLMHead(Head):
    """Predicts the continuation of a text whose prefix the text encoder reads, token by token from
    the streams it reads (SimVLM, Wang et al. 2022, eq. 3).

    The prefix length is drawn uniformly so that at least one token is visible and one is predicted.
    Samples without text are ignored.
    """

    required_modalities: tuple[str, ...] = (TEXT,)

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        vocab_size: int,
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
        depth: int = 3,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        max_length: int = 64,
    ) -> None:
        """``streams`` defaults to the fused stream, or to all; ``max_length`` is the maximum text
        length.
        """
        if TEXT not in available:
            raise ValueError(
                "prefix language modeling needs text; add an encoder, e.g. "
                "encoder/text=transformer data.text=captions"
            )
        super().__init__(dim, available, streams, weight)
        self.decoder = TransformerDecoder(
            vocab_size, dim, max_length, depth, num_heads, mlp_ratio, dropout
        )

    @property
    def raw_modalities(self) -> tuple[str, ...]:
        """Modalities that the head splits into input and target."""
        return (TEXT,)

    def prepare_batch(self, batch: Batch) -> Batch:
        """Return the batch with only the prefixes as input, and the rest of the texts as targets.

        A target starts with the last token of its prefix: [b, t], padded with IGNORE_INDEX. In
        evaluation, the prefix of a sample is the same every time.
        """
        field = batch.inputs[TEXT]
        length = field.mask.sum(dim=1)
        share = uniform(batch.keys, 1, "prefix")[:, 0]
        prefix = 1 + (share * (length - 1)).long()
        prefix = torch.minimum(prefix, (length - 1).clamp(min=1))
        position = torch.arange(field.mask.shape[1], device=length.device)
        source = position + prefix[:, None] - 1
        valid = source < length[:, None]
        text = field.data.gather(1, source.clamp(max=len(position) - 1))
        visible = field.mask & (position < prefix[:, None])
        targets = {"text": text.masked_fill(~valid, IGNORE_INDEX)}
        inputs = {**batch.inputs, TEXT: ModalityInput(field.data.masked_fill(~visible, 0), visible)}
        return replace(batch, inputs=inputs, targets=targets)

    def count(self, batch: Batch) -> Int[Tensor, ""]:
        """Return the number of tokens after the prefixes."""
        return (self.prepare_batch(batch).targets["text"][:, 1:] != IGNORE_INDEX).sum()

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["count"]`` is the number of predicted tokens."""
        nll, next_tokens = self.nll(streams, batch)
        count = (next_tokens != IGNORE_INDEX).sum()
        loss = global_mean(nll.sum(), count, shared=self.training)
        return Prediction(loss, {"count": count})

    def nll(
        self, streams: Streams, batch: Batch
    ) -> tuple[Float[Tensor, "b t"], Int[Tensor, "b t"]]:
        """Return the cross-entropy of each token after the prefix (zero for padding), and the
        tokens.
        """
        text = batch.targets["text"]
        inputs, next_tokens = shifted(text)
        hidden = self.decoder(inputs, Context(*self.context(streams)))
        logits = F.linear(hidden, self.decoder.embedding.weight)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        nll = F.cross_entropy(logits.flatten(0, 1), next_tokens.flatten(), reduction="none")
        return nll.view_as(next_tokens), next_tokens

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return for each sample [b] the number of predicted tokens (``count``) and their summed
        cross-entropy (``nll``).
        """
        nll, next_tokens = self.nll(streams, batch)
        return {"count": (next_tokens != IGNORE_INDEX).sum(dim=1), "nll": nll.sum(dim=1)}

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Return the perplexity over all tokens after the prefixes."""
        count, nll = np.array([[float(o["count"]), float(o["nll"])] for (o,) in outputs]).T
        return Evaluation([{"count": int(n)} for n in count], perplexity_scores(count, nll))
