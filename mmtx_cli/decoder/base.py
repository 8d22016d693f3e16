"""Base class of the decoders, which generate text from the tokens of other modalities.

Shape letters: b inputs, s texts (s / b consecutive ones per input), k beams per input, t tokens,
n context tokens, d width, v vocabulary.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.generation.constraint.constraint import Constraint
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.make import make_method
from mmtx_cli.generation.search import search
from mmtx_cli.generation.texts import Texts
from mmtx_cli.layer.context import Context
from mmtx_cli.types import IGNORE_INDEX


class DecoderState(ABC):
    """What a decoder keeps between two steps: its cache, one row per beam of every input."""

    can_replace: ClassVar[bool] = False
    """``replace`` is supported."""

    @abstractmethod
    def reorder(self, rows: Int[Tensor, " rows"], length: int) -> None:
        """Replace the first ``length`` generated tokens of row i by those of row ``rows[i]``.

        Both rows belong to the same input.
        """

    @abstractmethod
    def keep(self, inputs: Int[Tensor, " m"], beams: int) -> None:
        """Keep only the rows of the given inputs, which have ``beams`` rows each.

        The i-th input is the one at ``inputs[i]``, which is at least i: most stay in their places.
        """

    def replace(self, inputs: Int[Tensor, " m"], other: Any, position: int) -> bool:
        """Replace the given inputs by those of a state that has just been started.

        Their first token is the one at ``position``. Return False, and change nothing, if the two
        states do not fit each other; the other inputs are then finished first.

        Args:
            inputs: The inputs to replace.
            other: Returned by ``start`` for as many inputs.
            position: Number of steps of this state so far.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot replace inputs")


class Decoder(nn.Module, ABC):
    """Generates text token by token; every text begins with BOS and ends with EOS.

    Subclasses define ``forward`` (all tokens at once, for training), ``start`` and ``step`` (one
    token at a time with a cache, for generation); both give the same logits.
    """

    brings_tokenizer: ClassVar[bool] = False
    """The decoder has a tokenizer of its own, which ``tokenizer_json`` returns."""
    takes_connector: ClassVar[bool] = False
    """The decoder reads the context through a connector (group ``connector``)."""
    reads_summary: ClassVar[bool] = False
    """The decoder uses ``Context.summary``."""

    reads_raw: ClassVar[bool] = False
    """The decoder reads the raw input (``Context.raw``) instead of encoded tokens."""

    has_unused_parameters: bool = False
    """Trained parameters may have no part in the loss (a layer of a vision encoder that is read
    before its last layer)."""

    max_length: int
    """Maximum number of tokens of a text, including BOS and EOS."""

    context_limit: int | None = None
    """Maximum number of tokens of the context, the prompt and the text together; None: no limit."""
    context_tokens: int | None = None
    """Maximum number of tokens that stand for the context; None if it depends on the context."""
    prompt_length: int = 0
    """Number of tokens of a fixed prompt."""

    def context_length(self, pictures: int, frames: int) -> int:
        """Return the largest number of context tokens of an input with so many pictures and frames
        of a film, or 0 if it is not known.
        """
        return self.context_tokens or 0

    @abstractmethod
    def forward(self, tokens: Int[Tensor, "s t"], context: Context) -> Float[Tensor, "s t d"]:
        """Return the hidden states that predict the token after each of ``tokens``.

        Args:
            tokens: Token IDs, from BOS on, padded with IGNORE_INDEX. The states at padding are
                arbitrary.
            context: Of the b inputs.
        """

    @abstractmethod
    def logits(self, hidden: Float[Tensor, "*s d"]) -> Float[Tensor, "*s v"]:
        """Return the logits of hidden states."""

    @abstractmethod
    def start(self, context: Context, beams: int, length: int) -> DecoderState:
        """Read the context, and allocate a cache for ``length`` tokens of ``beams`` beams."""

    @abstractmethod
    def step(self, tokens: Int[Tensor, "b k"], state: Any, position: int) -> Float[Tensor, "b k d"]:
        """Return the hidden states that predict the token after ``tokens``, the last of each beam.

        Args:
            tokens: The last token of each beam: BOS at position 0.
            state: Returned by ``start``; updated in place.
            position: Number of previous steps.
        """

    def generate(
        self,
        source: Iterable[tuple[Context, Tensor]],
        settings: GenerationSettings,
        limits: Limits,
        capacity: int | None = None,
        constraint: Constraint | None = None,
    ) -> Iterator[tuple[Tensor, Texts]]:
        """Yield the numbers of inputs that are finished and their texts, in any order.

        Args:
            source: Contexts and random keys of inputs, which are numbered in their order.
            settings: How texts are generated.
            limits: Begin and end token, and the maximum length.
            capacity: Largest number of inputs at a time; None: those that come together.
            constraint: What the texts must satisfy.
        """
        yield from search(self, source, make_method(settings, limits, constraint), capacity)

    def output_weight(self) -> Float[Tensor, "v d"] | None:
        """Return W if the logits are W h, so that the loss needs not store them; else None."""
        return None

    def loss(
        self, hidden: Float[Tensor, "n d"], target: Int[Tensor, " n"], smoothing: float = 0.0
    ) -> Float[Tensor, ""]:
        """Return the sum of the cross-entropy over the tokens that are not padding."""
        options: Any = {
            "ignore_index": IGNORE_INDEX,
            "label_smoothing": smoothing,
            "reduction": "sum",
        }
        weight = self.output_weight()
        # torch 2.14: does not materialize all logits
        if weight is not None and hasattr(F, "linear_cross_entropy"):
            return F.linear_cross_entropy(hidden, weight.to(hidden.dtype), target, **options)
        logits = self.logits(hidden)
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        return F.cross_entropy(logits, target, **options)

    def text_loss(
        self,
        tokens: Int[Tensor, "s t"],
        target: Int[Tensor, "s t"],
        context: Context,
        smoothing: float = 0.0,
    ) -> Float[Tensor, ""]:
        """Return the sum of the loss over the tokens of texts that are not padding.

        Args:
            tokens: Input tokens, from BOS on, padded with IGNORE_INDEX.
            target: The token after each of them.
            context: Of the inputs.
            smoothing: Label smoothing.
        """
        hidden = self(tokens, context)
        return self.loss(hidden.flatten(0, 1), target.flatten(), smoothing)

    @torch.no_grad()
    def log_probs(
        self, tokens: Int[Tensor, "s t"], target: Int[Tensor, "s t"], context: Context
    ) -> Float[Tensor, "s t"]:
        """Return the log-probability of each token of ``target``; 0 at padding.

        Args:
            tokens: Input tokens, from BOS on, padded with IGNORE_INDEX.
            target: The token after each of them.
            context: Of the inputs.
        """
        logits = self.logits(self(tokens, context))
        log_probs = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(dim=-1)
        found = log_probs.gather(2, zero_padding(target)[..., None])[..., 0]
        return found.masked_fill(target == IGNORE_INDEX, 0.0)

    def connector_kwargs(self) -> dict[str, Any]:
        """Return the arguments of a connector that depend on the decoder."""
        raise NotImplementedError(f"{type(self).__name__} takes no connector")

    def connect(self, connector: nn.Module) -> None:
        """Read the context through ``connector``."""
        raise NotImplementedError(f"{type(self).__name__} takes no connector")

    def layers(self) -> list[nn.Module]:
        """Return the layers, whose activations may be recomputed in the backward pass."""
        return []

    def merge(self) -> dict[str, Any]:
        """Merge adapters into the weights, so that the state dict is complete; return the arguments
        that rebuild the decoder from it, without any other file.
        """
        return self.rebuild_kwargs()

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return the arguments that rebuild the decoder without its pretrained weights."""
        return {}


MakeDecoder = Callable[[int], Decoder]
"""Builds the decoder of a head, with its initial weights, for a number of streams."""


def shifted(target: Int[Tensor, "s t"]) -> tuple[Int[Tensor, "s u"], Int[Tensor, "s u"]]:
    """Return the input tokens of target texts and, for each, the token that follows."""
    return target[:, :-1], target[:, 1:]


def rows_of(inputs: Int[Tensor, " m"], beams: int) -> Int[Tensor, " rows"]:
    """Return the rows of the beams of some inputs."""
    return (inputs[:, None] * beams + torch.arange(beams, device=inputs.device)).flatten()


def zero_padding(tokens: Int[Tensor, "s t"]) -> Int[Tensor, "s t"]:
    """Return token IDs with padding replaced by a valid ID."""
    return torch.where(tokens == IGNORE_INDEX, 0, tokens)
