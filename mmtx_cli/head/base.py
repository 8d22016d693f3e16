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

    needs: tuple[str, ...] = ()
    """Target columns: readings of the manifest's columns (``data/targets.py``,
    ``data/text/columns.py``).
    """

    figures: tuple[str, ...] = ()
    """Metrics that its predictions report in validation besides the loss."""

    votes: ClassVar[bool] = True
    """Whether the head can read several unfused streams (late fusion)."""

    reads_one: ClassVar[bool] = False
    """Whether the head reads a single modality unless ``reads`` is set."""

    ordered: ClassVar[bool] = False
    """Whether the classes are ordered."""

    scores_every_text: ClassVar[bool] = False
    """Whether every caption of a sample is scored instead of the first only."""

    trained: ClassVar[bool] = True
    """Whether the head is trained as part of a model. If not, it is evaluation-only."""

    aligns: ClassVar[bool] = False
    """Whether the head is contrastive: ``pairs`` are then the streams whose embeddings it aligns.
    """

    pairs: Sequence[tuple[str, str]] = ()

    subject: tuple[str, ...] = ()
    """Modalities that a sample must have to contribute to the loss."""

    mixes: ClassVar[bool] = False
    """Whether the head needs samples whose modalities were recombined across samples."""

    needs_teacher: ClassVar[bool] = False
    """Whether the head requires a teacher for training."""

    predicts: ClassVar[bool] = False
    """Whether the head implements ``predictions`` for inputs without targets."""

    embedded: tuple[str, ...] = ()
    """Outputs of ``predict`` that are embeddings, which can be exported on their own."""

    contrasts: ClassVar[bool] = False
    """Whether the head compares samples with each other, so that it needs at least two per batch.
    """

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
    ) -> None:
        """``reads`` defaults to the fused stream if there is one, else to all streams."""
        super().__init__()
        default = [FUSED] if FUSED in streams else list(streams)
        self.reads = tuple(sorted(default if reads is None else reads))
        for name in self.reads:
            if name not in streams:
                raise ValueError(f"reads: unknown stream {name!r}; choose from {list(streams)}")
        if len({*self.reads}) < len(self.reads):
            raise ValueError(f"reads={list(self.reads)}: list each stream once")
        if not self.reads:
            raise ValueError("reads is empty: list at least one stream")
        self.dim = dim
        self.weight = weight

    @property
    def raw(self) -> tuple[str, ...]:
        """Modalities whose raw input the head reads itself, instead of the encoder's output."""
        return ()

    def view(self, batch: Batch) -> Batch:
        """Return the batch to encode: the batch itself, or a corrupted copy (masked objectives)."""
        return batch

    def mix(
        self, encoded: Streams, said: Mapping[str, Prediction], keys: Int[Tensor, " b"]
    ) -> Streams:
        """Return the encoded modalities to fuse for this head. Called only if ``mixes``.

        Args:
            encoded: The encoded modalities.
            said: Predictions of the heads without ``mixes``.
            keys: Random key of each sample.
        """
        return encoded

    def count(self, batch: Batch) -> Int[Tensor, ""] | None:
        """Return the number of tokens or samples that the loss averages over, if the batch
        determines it.

        It weights the micro-batches of an accumulated step; None weights them equally. The default
        is the number of samples whose target is ``known``.
        """
        target = batch.targets.get(self.needs[0]) if len(self.needs) == 1 else None
        known = None if target is None else self.known(target)
        return None if known is None else known.sum()

    def known(self, target: Tensor) -> Bool[Tensor, " b"] | None:
        """Return which samples have the target; None if the loss is not a mean over samples."""
        return None

    def context(self, streams: Streams) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
        """Return the tokens of all streams the head reads as one sequence, and their mask."""
        x = torch.cat([streams[name].x for name in self.reads], dim=1)
        return x, torch.cat([streams[name].mask for name in self.reads], dim=1)

    def present(self, streams: Streams) -> Bool[Tensor, " b"]:
        """Return which samples have at least one of the streams the head reads."""
        return torch.stack([streams[name].present for name in self.reads]).any(dim=0)

    def text_partners(self) -> list[str]:
        """Return the sorted names of the streams that the head aligns with text."""
        return sorted({a if b == "text" else b for a, b in self.pairs if "text" in (a, b)})

    def portable(self) -> dict[str, Any]:
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
        text: Detokenizer | None,
        top: int = SHOWN,
    ) -> list[dict[str, Any]]:
        """Convert the outputs of ``predict`` to readable rows, one per sample.

        Required if ``predicts``.

        Args:
            outputs: The output of ``predict`` for each sample.
            text: Converts token ids to text.
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
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """Score the outputs of ``predict`` against the samples' targets.

        A sample has one output; with ``scores_every_text``, it has one more per additional text,
        and ``output[WRITTEN]`` is the text that the text encoder read, unless it read precomputed
        features.
        """
