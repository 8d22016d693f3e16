"""Base class of the connectors, which pass the context to a language model.

Shape letters: b inputs, n context tokens, m tokens for the language model, d width of the context,
w width of the language model.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from mmtx_cli.layer.context import Context
from mmtx_cli.types import Tokens


class Connector(nn.Module, ABC):
    """Turns context tokens into tokens of a language model's width."""

    inserts_layers: ClassVar[bool] = False
    """The connector adds layers to the model, which read the context themselves."""

    bound: Any = None
    """The context that inserted layers read, from one ``forward`` to the next."""

    def __init__(self, dim: int, streams: int, max_tokens: int | None) -> None:
        """``dim`` is the width of the context, ``streams`` the number of streams in it.

        ``max_tokens`` is the maximum number of tokens that ``forward`` returns; None if it depends
        on the context.
        """
        super().__init__()
        self.context_width, self.streams, self.max_tokens = dim, streams, max_tokens

    @abstractmethod
    def forward(self, context: Context) -> Tokens:
        """Return the tokens that stand before the text; those of missing streams are masked."""

    def keep(self, inputs: Int[Tensor, " m"]) -> None:
        """Keep the context of some inputs, if it is stored for the layers of the model."""


def of_streams(values: Float[Tensor, "k d"], context: Context) -> Float[Tensor, "n d"]:
    """Return for each context token the vector of its stream."""
    sizes = torch.tensor(context.sizes, device=values.device)
    return values.repeat_interleave(sizes, dim=0)
