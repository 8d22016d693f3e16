"""A text Transformer trained from scratch."""

import torch
from torch import nn

from mmtx_cli.encoder.base import Encoder
from mmtx_cli.layer.transformer import Transformer
from mmtx_cli.types import ModalityInput, Tokens


class TransformerTextEncoder(Encoder):
    """Token embeddings, convolution over neighbors, learned positions and pre-norm blocks.

    Like CLIP's text tower (Radford et al. 2021, section 2.4), but bidirectional, and with a
    convolution over each token and its two neighbors. It lets the first block see pairs of words
    ("not red"), which attention learns to find by position only after many steps (compare Primer's
    convolutions, So et al. 2021).
    """

    def __init__(
        self,
        vocab_size: int,
        width: int = 256,
        depth: int = 4,
        num_heads: int = 4,
        max_length: int = 64,
        mlp_ratio: float = 4.0,
        dropout: float = 0.0,
        drop_path: float = 0.0,
    ) -> None:
        """``max_length`` is the maximum number of tokens per text; the tokenizer truncates it."""
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(vocab_size, width)
        self.neighbors = nn.Conv1d(width, width, 3, padding=1)
        self.position = nn.Parameter(torch.empty(max_length, width))
        self.dropout = nn.Dropout(dropout)
        self.transformer = Transformer(width, depth, num_heads, mlp_ratio, dropout, drop_path)
        # unit scale, like the residuals that the blocks add; small embeddings would be drowned out
        nn.init.normal_(self.embedding.weight)
        nn.init.normal_(self.position)

    def forward(self, field: ModalityInput) -> Tokens:
        """Encode ``field.data``, [b, l] token IDs, to one vector per token."""
        x = self.embedding(field.data.masked_fill(~field.mask, 0)) * field.mask[..., None]
        x = x + self.neighbors(x.mT).mT + self.position[: field.data.shape[1]]
        return Tokens(self.transformer(self.dropout(x), field.mask), field.mask)

    def blocks(self) -> list[nn.Module]:
        """Return the embeddings with their positions, then the blocks."""
        position = nn.ParameterList([self.position])
        return [nn.ModuleList([self.embedding, self.neighbors, position]), *self.transformer.blocks]
