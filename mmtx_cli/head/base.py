"""Base class of the heads: an output layer, its loss, and the evaluation of its outputs."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.traits import HeadTraits
from mmtx_cli.metric.scores import Scores
from mmtx_cli.types import FUSED, Batch, Prediction, Streams


@runtime_checkable
class Detokenizer(Protocol):
    """Converts token ids to text."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of the tokens, without special tokens."""


@dataclass(frozen=True)
class Evaluation:
    """The result of evaluating a head: one row per sample to store and display, and the metrics."""

    rows: list[dict[str, Any]]
    scores: Scores


def unscored(samples: Sequence[Sample]) -> Evaluation:
    """Return an evaluation without metrics: an empty row per sample."""
    return Evaluation([{} for _ in samples], Scores({}, np.zeros((len(samples), 1)), lambda _: {}))


SHOWN = 5
"""Number of classes (answers) listed per sample with their probabilities, most likely first."""

WRITTEN = "written"
"""Key of the text in the outputs of a head with ``scores_every_text``."""


class Head(nn.Module, ABC):
    """Reads streams of width ``dim``. A model's loss is the weighted sum of its heads' losses."""

    traits: ClassVar[HeadTraits] = HeadTraits()

    targets: tuple[str, ...] = ()
    """Target columns: readings of the manifest's columns (``data/targets.py``,
    ``data/text/columns.py``).
    """

    metrics: tuple[str, ...] = ()
    """Metrics that its predictions report in validation besides the loss."""

    pairs: Sequence[tuple[str, str]] = ()
    """Streams whose embeddings a contrastive head aligns."""

    required_modalities: tuple[str, ...] = ()
    """Modalities that a sample must have to contribute to the loss."""

    embedding_outputs: tuple[str, ...] = ()
    """Outputs of ``predict`` that are embeddings, which can be exported on their own."""

    def __init__(
        self,
        dim: int,
        available: Sequence[str],
        streams: Sequence[str] | None = None,
        weight: float = 1.0,
    ) -> None:
        """``available`` are the streams of the model; ``streams``, those that the head reads,
        default to the fused stream if there is one, else to all.
        """
        super().__init__()
        default = [FUSED] if FUSED in available else list(available)
        self.streams = tuple(sorted(default if streams is None else streams))
        for name in self.streams:
            if name not in available:
                raise ValueError(f"streams: unknown stream {name!r}; choose from {list(available)}")
        if len({*self.streams}) < len(self.streams):
            raise ValueError(f"streams={list(self.streams)}: list each stream once")
        if not self.streams:
            raise ValueError("streams is empty: list at least one stream")
        self.dim = dim
        self.weight = weight

    @property
    def raw_modalities(self) -> tuple[str, ...]:
        """Modalities whose raw input the head reads itself, instead of the encoder's output."""
        return ()

    @property
    def unsharded_modules(self) -> list[nn.Module]:
        """Submodules whose weights the head changes itself: every process holds them whole."""
        return []

    def begin_training(
        self, train: Sequence[Sample], val: Sequence[Sample], tokenizer: Detokenizer | None
    ) -> None:
        """Read what the loss needs of the whole data set; by default, nothing.

        Args:
            train: The training samples.
            val: The validation samples.
            tokenizer: Tokenizer of the target texts.
        """

    def prepare_batch(self, batch: Batch) -> Batch:
        """Return the batch to encode: the batch itself, or a corrupted copy (masked objectives)."""
        return batch

    def make_negatives(
        self,
        encoded: Streams,
        predictions: Mapping[str, Prediction],
        keys: Int[Tensor, " b"],
    ) -> Streams:
        """Return the encoded modalities to fuse for this head in training: the same object, or
        recombined modalities of the samples, for a head with the trait ``makes_negatives``.

        Args:
            encoded: The encoded modalities.
            predictions: Predictions of the heads that ran before.
            keys: Random key of each sample.
        """
        return encoded

    def count(self, batch: Batch) -> Int[Tensor, ""] | None:
        """Return the number of tokens or samples that the loss averages over, if the batch
        determines it.

        It weights the micro-batches of an accumulated step; None weights them equally. The default
        is the number of samples that have the target.
        """
        target = batch.targets.get(self.targets[0]) if len(self.targets) == 1 else None
        valid = None if target is None else self.has_target(target)
        return None if valid is None else valid.sum()

    def has_target(self, target: Tensor) -> Bool[Tensor, " b"] | None:
        """Return which samples have the target; None if the loss is not a mean over samples."""
        return None

    def context(self, streams: Streams) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
        """Return the tokens of all streams the head reads as one sequence, and their mask."""
        x = torch.cat([streams[name].x for name in self.streams], dim=1)
        return x, torch.cat([streams[name].mask for name in self.streams], dim=1)

    def present(self, streams: Streams) -> Bool[Tensor, " b"]:
        """Return which samples have at least one of the streams the head reads."""
        return torch.stack([streams[name].present for name in self.streams]).any(dim=0)

    def text_partners(self) -> list[str]:
        """Return the sorted names of the streams that the head aligns with text."""
        return sorted({a if b == "text" else b for a, b in self.pairs if "text" in (a, b)})

    def rebuild_kwargs(self) -> dict[str, Any]:
        """Return the arguments to rebuild the head without the objects it was built from."""
        return {}

    @abstractmethod
    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Return the outputs, and the loss if the batch has the head's targets."""

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """Return the outputs for each sample, without using targets: one row per sample."""
        return self(streams, batch).outputs

    def predictions(
        self,
        outputs: Sequence[Mapping[str, Tensor]],
        tokenizer: Detokenizer | None,
        top: int = SHOWN,
    ) -> list[dict[str, Any]]:
        """Convert the outputs of ``predict`` to readable rows, one per sample.

        Required by the trait ``predicts``.

        Args:
            outputs: The output of ``predict`` for each sample.
            tokenizer: Converts token ids to text.
            top: Number of most likely classes (answers) to list.
        """
        raise NotImplementedError(f"{type(self).__name__} predicts, but lacks predictions()")

    def chance(
        self, outputs: list[list[dict[str, Tensor]]], samples: Sequence[Sample]
    ) -> Scores | None:
        """Return the expected scores of random outputs for a head that ranks, else None.

        ``outputs`` are the same as for ``evaluate``.
        """
        return None

    @abstractmethod
    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], tokenizer: Detokenizer
    ) -> Evaluation:
        """Score the outputs of ``predict`` against the samples' targets.

        A sample has one output; with ``scores_every_text``, it has one more per additional text,
        and ``output[WRITTEN]`` is the text that the text encoder read, unless it read precomputed
        features.
        """
