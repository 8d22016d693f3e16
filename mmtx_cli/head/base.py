"""What every head is: an output layer, its loss, and how its outputs are scored."""

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
    """Turns token numbers into text."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Text of the tokens, without special ones."""


@dataclass(frozen=True)
class Evaluation:
    """What an evaluated head reports: a row a sample to keep and show, and the figures."""

    rows: list[dict[str, Any]]
    scores: Scores


def unscored(samples: Sequence[Sample]) -> Evaluation:
    """What is reported of samples where there is nothing to score."""
    return Evaluation([{} for _ in samples], Scores({}, np.zeros((len(samples), 1)), lambda _: {}))


SHOWN = 5
"""Classes (answers) of a sample that are named with their probabilities, the likeliest first."""

WRITTEN = "written"
"""Where the outputs of a head that scores every text have the text."""


class Head(nn.Module, ABC):
    """Reads streams of width ``dim``; several heads of one model add up, each by its weight."""

    needs: tuple[str, ...] = ()
    """Its targets: readings of the manifest's columns (``data/targets.py``,
    ``data/text/columns.py``).
    """

    figures: tuple[str, ...] = ()
    """What its predictions say in validation besides the loss."""

    votes: ClassVar[bool] = True
    """Does it make sense of several streams that no fusion has joined?"""

    reads_one: ClassVar[bool] = False
    """Does it read one modality, unless ``reads`` says otherwise?"""

    ordered: ClassVar[bool] = False
    """Does the order of the classes have a meaning?"""

    scores_every_text: ClassVar[bool] = False
    """Is every caption of a sample scored, not the first alone?"""

    trained: ClassVar[bool] = True
    """Is it a part of a model? One that is not is asked of a trained model by evaluation."""

    aligns: ClassVar[bool] = False
    """Is it contrastive? It has ``pairs``, the streams whose embeddings it aligns."""

    pairs: Sequence[tuple[str, str]] = ()

    subject: tuple[str, ...] = ()
    """Modalities without which a sample teaches it nothing."""

    mixes: ClassVar[bool] = False
    """Does it look at samples whose modalities were put together anew?"""

    needs_teacher: ClassVar[bool] = False
    """Does it learn from a teacher, and not without?"""

    predicts: ClassVar[bool] = False
    """Does ``predictions`` say something of an input that comes without targets?"""

    embedded: tuple[str, ...] = ()
    """Outputs of ``predict`` that are embeddings: vectors worth keeping by themselves."""

    contrasts: ClassVar[bool] = False
    """Does it tell samples from each other, so that one alone teaches nothing?"""

    def __init__(
        self,
        dim: int,
        streams: Sequence[str],
        reads: Sequence[str] | None = None,
        weight: float = 1.0,
    ) -> None:
        """``reads`` defaults to the fused stream if there is one, else to all."""
        super().__init__()
        default = [FUSED] if FUSED in streams else list(streams)
        self.reads = tuple(sorted(default if reads is None else reads))
        for name in self.reads:
            if name not in streams:
                raise ValueError(f"reads: there is no stream {name!r} (there are {list(streams)})")
        if len({*self.reads}) < len(self.reads):
            raise ValueError(f"reads={list(self.reads)}: name each stream once")
        if not self.reads:
            raise ValueError("reads is empty: name at least one stream")
        self.dim = dim
        self.weight = weight

    @property
    def raw(self) -> tuple[str, ...]:
        """Modalities whose raw input it looks at itself, not at what their encoder makes of it."""
        return ()

    def view(self, batch: Batch) -> Batch:
        """The batch this head wants encoded: itself, or a corrupted copy (masked objectives)."""
        return batch

    def mix(
        self, encoded: Streams, said: Mapping[str, Prediction], keys: Int[Tensor, " b"]
    ) -> Streams:
        """The encoded modalities that it wants fused, if it ``mixes``; ``said`` is what the heads
        say that do not, ``keys`` what to draw by for each sample.
        """
        return encoded

    def count(self, batch: Batch) -> Int[Tensor, ""] | None:
        """Of how many tokens or samples the loss is the mean, if the batch alone tells.

        Steps of several micro-batches weight these by it; None weights them equally. By default
        the samples whose target is ``known``.
        """
        target = batch.targets.get(self.needs[0]) if len(self.needs) == 1 else None
        known = None if target is None else self.known(target)
        return None if known is None else known.sum()

    def known(self, target: Tensor) -> Bool[Tensor, " b"] | None:
        """Samples that have the target; None if the loss is no mean over samples."""
        return None

    def context(self, streams: Streams) -> tuple[Float[Tensor, "b n d"], Bool[Tensor, "b n"]]:
        """All that it reads in one sequence, and what of it is real."""
        x = torch.cat([streams[name].x for name in self.reads], dim=1)
        return x, torch.cat([streams[name].mask for name in self.reads], dim=1)

    def present(self, streams: Streams) -> Bool[Tensor, " b"]:
        """Which samples have any of what it reads."""
        return torch.stack([streams[name].present for name in self.reads]).any(dim=0)

    def text_partners(self) -> list[str]:
        """The streams that it aligns with text, by name."""
        return sorted({a if b == "text" else b for a, b in self.pairs if "text" in (a, b)})

    def portable(self) -> dict[str, Any]:
        """Arguments that build such a head where what it was made of is not there any more."""
        return {}

    @abstractmethod
    def forward(self, streams: Streams, batch: Batch) -> Prediction:
        """Outputs, and the loss where the batch has this head's targets."""

    def predict(self, streams: Streams, batch: Batch) -> dict[str, Tensor]:
        """What the head says of each sample, without targets: one row a sample."""
        return self(streams, batch).outputs

    def predictions(
        self,
        outputs: Sequence[Mapping[str, Tensor]],
        text: Detokenizer | None,
        top: int = SHOWN,
    ) -> list[dict[str, Any]]:
        """What ``predict`` said of each sample, in words and numbers: a row a sample.

        ``text`` makes text of token numbers; of classes (answers) the ``top`` likeliest are named.
        A head that ``predicts`` has its own.
        """
        raise NotImplementedError(f"{type(self).__name__} predicts, and has no predictions()")

    def chance(
        self, outputs: list[list[dict[str, Tensor]]], samples: Sequence[Sample]
    ) -> Scores | None:
        """Return the expected scores of random outputs, for a head that ranks; else None.

        ``outputs`` are those that ``evaluate`` scored.
        """
        return None

    @abstractmethod
    def evaluate(
        self, outputs: list[list[dict[str, Tensor]]], samples: list[Sample], text: Detokenizer
    ) -> Evaluation:
        """Score what ``predict`` said of each sample against the sample's own targets.

        A sample has one output, and one more for each further text where ``scores_every_text``;
        there, what the text encoder read is ``output[WRITTEN]``, unless it read features.
        """
