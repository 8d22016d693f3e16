"""The graphs of a captioning model: from raw input to the keys and values of the context, and one
step of the decoder.

Shape letters: b inputs, k rows (beams or samples) per input, r = b * k, l raw length, n context
tokens, t generated tokens, h heads, w width of a head, d width, v vocabulary.
"""

from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mmtx_cli.decoder.transformer import TransformerDecoder
from mmtx_cli.layer.context import Context
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch, ModalityInput


class EncoderGraph(nn.Module):
    """Encoders, fusion, and the projection of the context to keys and values."""

    def __init__(self, model: MultimodalModel, head: str) -> None:
        """``head`` is the name of the head that generates text."""
        super().__init__()
        self.model = model
        self.modalities = list(model.encoder)
        self.head: Any = model.head[head]

    def context(self, inputs: tuple[Tensor, ...]) -> Context:
        """Return the context of a batch of raw inputs: data and mask of each modality."""
        fields = {
            name: ModalityInput(inputs[2 * i], inputs[2 * i + 1])
            for i, name in enumerate(self.modalities)
        }
        batch = Batch(fields, keys=torch.zeros(inputs[0].shape[0], dtype=torch.long))
        return self.head.decoder_context(self.model.fusion(self.model.encode(batch)), batch)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the mask of the context [b, n], its summary [b, d] if there is one, and keys and
        values [b, h, n, w] for each block.
        """
        context = self.context(inputs)
        pairs = [block.cross_attention.keys(context.x) for block in self.head.decoder.blocks]
        summary = [] if context.summary is None else [context.summary]
        return (context.mask, *summary, *(x for pair in pairs for x in pair))


class DecoderGraph(nn.Module):
    """One step of the decoder for every row."""

    def __init__(self, decoder: TransformerDecoder, has_summary: bool) -> None:
        super().__init__()
        self.decoder, self.has_summary = decoder, has_summary

    def forward(
        self,
        tokens: Int[Tensor, "b k"],
        rows: Int[Tensor, " r"],
        context_mask: Bool[Tensor, "b n"],
        *others: Float[Tensor, "..."],
    ) -> tuple[Tensor, ...]:
        """Return the logits [b, k, v], and keys and values with those of the new tokens.

        Args:
            tokens: The last token of each row.
            rows: Which former row each row continues.
            context_mask: Where the context is real.
            others: The summary [b, d] if there is one; for each block, keys and values of the
                context [b, h, n, w]; then those of the text so far [r, h, t, w].
        """
        summary, rest = (others[0], others[1:]) if self.has_summary else (None, others)
        decoder, count = self.decoder, 2 * len(self.decoder.blocks)
        context, past = rest[:count], rest[count:]
        x = decoder.embedding(tokens) + decoder.position[past[0].shape[2]]
        x = x if summary is None else x + summary[:, None]
        present: list[Tensor] = []
        for i, block in enumerate(decoder.blocks):
            new = block.norm1(x).flatten(0, 1)[:, None]
            keys, values = block.attention.keys(new)
            own = (
                torch.cat([past[2 * i][rows], keys], dim=2),
                torch.cat([past[2 * i + 1][rows], values], dim=2),
            )
            shared = context[2 * i], context[2 * i + 1]
            x = block.attend(x, new, own, None, shared, context_mask)
            present += own
        return decoder.logits(decoder.norm(x)), *present
