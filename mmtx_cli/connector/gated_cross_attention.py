"""New cross-attention layers between those of the language model (Flamingo, Alayrac et al. 2022).

The gates are closed at first, so that the model begins as the language model that it was.
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mmtx_cli.connector.base import Connector, of_streams
from mmtx_cli.layer.attention import Attention, KeyValue
from mmtx_cli.layer.context import Context
from mmtx_cli.layer.transformer import FeedForward
from mmtx_cli.types import Tokens


class GatedBlock(nn.Module):
    """Gated cross-attention to the context, and a gated feed-forward layer."""

    def __init__(self, width: int, dim: int, num_heads: int, mlp_ratio: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, num_heads, context_dim=dim)
        self.gate1 = nn.Parameter(torch.zeros(()))
        self.norm2 = nn.LayerNorm(width)
        self.feed_forward = FeedForward(width, mlp_ratio)
        self.gate2 = nn.Parameter(torch.zeros(()))

    def forward(
        self, x: Float[Tensor, "b t w"], keys: KeyValue, mask: Bool[Tensor, "b n"]
    ) -> Float[Tensor, "b t w"]:
        """Update the hidden states; those of inputs without context do not change."""
        present = mask.any(dim=1)[:, None, None]
        read = self.attention.read(self.norm1(x), keys, mask)
        x = x + present * self.gate1.tanh() * read
        return x + present * self.gate2.tanh() * self.feed_forward(self.norm2(x))


class GatedCrossAttentionConnector(Connector):
    """Inserts a cross-attention before every n-th layer; nothing stands before the text."""

    inserts_layers: ClassVar[bool] = True
    bound: tuple[list[KeyValue], Tensor] | None = None

    def __init__(
        self,
        dim: int,
        width: int,
        layers: Sequence[nn.Module],
        streams: int = 1,
        every: int = 4,
        num_heads: int = 8,
        mlp_ratio: float = 2.0,
    ) -> None:
        """``every`` is the number of layers of the model for each new one."""
        super().__init__(dim, streams, 0)
        if every < 1:
            raise ValueError(f"every={every}: must be at least 1")
        if not layers:
            raise ValueError("gated_cross_attention: this language model has no list of layers")
        if width % num_heads:
            raise ValueError(f"num_heads={num_heads}: the model's width {width} is no multiple")
        self.kind = nn.Parameter(torch.zeros(streams, dim))
        self.norm = nn.LayerNorm(dim)
        chosen = list(layers)[::every]
        self.blocks: Sequence[GatedBlock] = nn.ModuleList(  # type: ignore[assignment]
            [GatedBlock(width, dim, num_heads, mlp_ratio) for _ in chosen]
        )
        for i, layer in enumerate(chosen):
            layer.register_forward_pre_hook(self.hook(i), with_kwargs=True)

    def hook(self, i: int) -> Any:
        """Return what runs before a layer of the model: the i-th block on its hidden states."""

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            if self.bound is None:
                return None
            if args:
                return (self.update(i, args[0]), *args[1:]), kwargs
            return args, {**kwargs, "hidden_states": self.update(i, kwargs["hidden_states"])}

        return before

    def update(self, i: int, x: Float[Tensor, "s t w"]) -> Float[Tensor, "s t w"]:
        """Apply a block to the hidden states of s / b texts or beams of each input."""
        assert self.bound is not None
        keys, mask = self.bound
        y = self.blocks[i](x.reshape(len(mask), -1, x.shape[2]), keys[i], mask)
        return y.view_as(x).to(x.dtype)  # type: ignore[no-any-return]

    def forward(self, context: Context) -> Tokens:
        """Project the context for all blocks, which read it until the next call; no tokens."""
        x = self.norm(context.x) + of_streams(self.kind, context)
        self.bound = [block.attention.keys(x) for block in self.blocks], context.mask
        b, width = len(context.x), self.blocks[0].norm1.normalized_shape[0]
        return Tokens(x.new_zeros(b, 0, width), context.mask[:, :0])

    def keep(self, inputs: Int[Tensor, " m"]) -> None:
        """Keep the projected context of some inputs."""
        assert self.bound is not None
        keys, mask = self.bound
        self.bound = [(k[inputs], v[inputs]) for k, v in keys], mask[inputs]
