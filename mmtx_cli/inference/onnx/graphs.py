"""The two graphs of a captioning model: from raw input to the keys and values of the context, and
one step of the decoder.

Shape letters: b inputs, k rows (beams or samples) per input, r = b * k, l raw length, n context
tokens, t generated tokens, h heads, w width of a head, d width, v vocabulary.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmtx_cli.decoder.transformer import TransformerDecoder
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.layer.context import Context
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch, ModalityInput


class EncoderGraph(nn.Module):
    """Encoders, fusion, and the projection of the context to keys and values."""

    def __init__(self, model: MultimodalModel, head: CaptioningHead) -> None:
        super().__init__()
        self.model, self.head = model, head
        self.modalities = list(model.encoder)

    def context(self, inputs: Sequence[Tensor]) -> Context:
        """Return the context of a batch of raw inputs: data and mask of each modality."""
        fields = {
            name: ModalityInput(inputs[2 * i], inputs[2 * i + 1])
            for i, name in enumerate(self.modalities)
        }
        batch = Batch(fields, keys=torch.zeros(len(inputs[0]), dtype=torch.long))
        return self.head.decoder_context(self.model.fusion(self.model.encode(batch)), batch)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the mask of the context, its summary if there is one, and keys and values."""
        context = self.context(inputs)
        decoder = self.head.decoder
        assert isinstance(decoder, TransformerDecoder)
        pairs = [block.cross_attention.keys(context.x) for block in decoder.blocks]
        summary = [] if context.summary is None else [context.summary]
        return (context.mask, *summary, *(x for pair in pairs for x in pair))


class StepGraph(nn.Module):
    """One step of the decoder for every row."""

    def __init__(self, decoder: TransformerDecoder, has_summary: bool) -> None:
        super().__init__()
        self.decoder, self.has_summary = decoder, has_summary

    def forward(self, tokens: Tensor, rows: Tensor, mask: Tensor, *others: Tensor):
        """Return the logits [b, k, v], and keys and values with the new token.

        Args:
            tokens: [b, k], the last token of each row.
            rows: [r], which row each row continues.
            mask: [b, n], where the context is real.
            others: The summary [b, d] if there is one; keys and values of the context [b, h, n, w]
                and of the text so far [r, h, t, w] of every block.
        """
        summary, rest = (others[0], others[1:]) if self.has_summary else (None, others)
        decoder, count = self.decoder, len(self.decoder.blocks)
        context, past = rest[: 2 * count], rest[2 * count :]
        x = decoder.embedding(tokens) + decoder.position[past[0].shape[2]]
        x = x if summary is None else x + summary[:, None]
        present = []
        for i, block in enumerate(decoder.blocks):
            new = block.norm1(x).flatten(0, 1)[:, None]
            own = tuple(
                torch.cat([old[rows], added], dim=2)
                for old, added in zip(
                    past[2 * i : 2 * i + 2], block.attention.keys(new), strict=True
                )
            )
            x = block.attend(x, new, own, None, context[2 * i : 2 * i + 2], mask)
            present += own
        return decoder.logits(decoder.norm(x)), *present
