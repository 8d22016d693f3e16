"""Prefix language modeling: predict the continuation of a text."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.counter_rng import uniform
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.distributed.collectives import global_mean
from mmtx_cli.head.base import Detokenizer, Evaluation, Head
from mmtx_cli.layer.decoder import TextDecoder
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import IGNORE_INDEX, Batch, ModalityInput, Prediction, Streams

TEXT = "text"


class PrefixLMHead(Head):
    """Predicts the continuation of a text whose prefix the text encoder reads, token by token from
    the streams it reads (SimVLM, Wang et al. 2022, eq. 3).

    The prefix length is drawn uniformly so that at least one token is visible and one is predicted.
    Samples without text are ignored.
    """

    subject: tuple[str, ...] = (TEXT,)

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        vocab_size: int,
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
        depth: int = 3,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        max_length: int = 64,
    ) -> None:
        """``reads`` defaults to the fused stream, or to all; ``max_length`` is the maximum text
        length.
        """
        if TEXT not in streams:
            raise ValueError(
                "prefix language modeling needs text; add an encoder, e.g. "
                "encoder/text=transformer data.text=captions"
            )
        super().__init__(dim, streams, reads, weight)
        self.decoder = TextDecoder(
            vocab_size, dim, depth, num_heads, max_length, mlp_ratio, dropout
        )

    @property
    def raw(self) -> tuple[str, ...]:
        """Modalities that the head splits into input and target."""
        return (TEXT,)

    def view(self, batch: Batch) -> Batch:
        """Return the batch with only the prefixes as input, and the rest of the texts as targets.

        A target starts with the last token of its prefix: [b, t], padded with IGNORE_INDEX. In
        evaluation, the prefix of a sample is the same every time.
        """
        field = batch.inputs[TEXT]
        length = field.mask.sum(dim=1)
        share = uniform(batch.keys, 1, "prefix")[:, 0]
        prefix = 1 + (share * (length - 1)).long()
        prefix = torch.minimum(prefix, (length - 1).clamp(min=1))
        place = torch.arange(field.mask.shape[1], device=length.device)
        from_last = place + prefix[:, None] - 1
        there = from_last < length[:, None]
        text = field.data.gather(1, from_last.clamp(max=len(place) - 1))
        seen = field.mask & (place < prefix[:, None])
        targets = {"text": text.masked_fill(~there, IGNORE_INDEX)}
        inputs = {**batch.inputs, TEXT: ModalityInput(field.data.masked_fill(~seen, 0), seen)}
        return replace(batch, inputs=inputs, targets=targets)

    def count(self, batch: Batch) -> Int[Tensor, ""]:
        """Return the number of tokens after the prefixes."""
        return (self.view(batch).targets["text"][:, 1:] != IGNORE_INDEX).sum()

    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the loss; ``outputs["count"]`` is the number of predicted tokens."""
        surprise, following = self.nll(streams, batch)
        count = (following != IGNORE_INDEX).sum()
        loss = global_mean(surprise.sum(), count, shared=self.training)
        return Prediction(loss, {"count": count})

    def nll(
        self, streams: Streams, batch: Batch
    ) -> tuple[Float[Tensor, "b t"], Int[Tensor, "b t"]]:
        """Return the cross-entropy of each token after the prefix (zero for padding), and the
        tokens.
        """
        text = batch.targets["text"]
        said, following = text[:, :-1], text[:, 1:]
        hidden = self.decoder(said.clamp(min=0), *self.context(streams))
        logits = F.linear(hidden, self.decoder.embedding.weight)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        each = F.cross_entropy(logits.flatten(0, 1), following.flatten(), reduction="none")
        return each.view_as(following), following

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return for each sample [b] the number of predicted tokens (``told``) and their summed
        cross-entropy (``surprise``).
        """
        surprise, following = self.nll(streams, batch)
        return {"told": (following != IGNORE_INDEX).sum(dim=1), "surprise": surprise.sum(dim=1)}

    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """Return the perplexity over all tokens after the prefixes."""
        sums = np.array([[float(o[name]) for name in ("told", "surprise")] for (o,) in outputs])
        told = sums[:, 0]
        each = np.divide(sums[:, 1], told, out=np.full_like(told, np.nan), where=told > 0)

        def reduce(totals: np.ndarray) -> dict[str, np.ndarray]:
            return {"perplexity": np.exp(totals[..., 1] / np.maximum(totals[..., 0], 1))}

        rows = [{"told": int(n)} for n in told]
        return Evaluation(rows, Scores({"surprise": each}, sums, reduce))
