"""Texts that the captioning head of a trained model generates for batches of inputs."""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.loader import make_loader
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.explanation.explain import Explanation, explain
from mmtx_cli.inference.caption import batch_rows
from mmtx_cli.inference.caption_plan import BATCHES
from mmtx_cli.inference.output_lines import CaptionedBatch
from mmtx_cli.inference.part_sampler import InOrder
from mmtx_cli.inference.predict import inference
from mmtx_cli.inference.texts import texts_of
from mmtx_cli.model.constrain import constraint_of
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch

Row = dict[str, Any]


@dataclass(frozen=True)
class Captioner:
    """A captioning head with the settings of one call; several may share a model.

    Args:
        model: The model.
        name: Name of the head.
        head: The head, with its settings of the generation.
        tokenizer: Of the texts.
        device: Of the model.
        precision: Lightning's name of the precision.
    """

    model: MultimodalModel
    name: str
    head: Any
    tokenizer: Tokenizer
    device: torch.device
    precision: str

    @classmethod
    def of(
        cls,
        model: MultimodalModel,
        name: str,
        settings: GenerationSettings,
        tokenizer: Tokenizer,
        device: torch.device,
        precision: str,
    ) -> "Captioner":
        """Return a captioner; other settings than those of the model's head do not change it.

        Args:
            model: The model.
            name: Name of the head.
            settings: How texts are generated.
            tokenizer: Of the texts.
            device: Of the model.
            precision: Lightning's name of the precision.

        Raises:
            ConfigError: If no text satisfies the constraints in the settings.
        """
        head: Any = copy(model.head[name])  # shares the weights
        if settings != head.generation:
            head.generation = settings
            head.constraint = constraint_of(head, tokenizer.to_json())
        return cls(model, name, head, tokenizer, device, precision)

    def rows(
        self,
        batches: Iterable[Batch],
        pieces: Sequence[Any],
        text: str | None,
        seed: int,
    ) -> Iterator[Row]:
        """Yield the row of each input as ``mmtx caption`` writes it.

        Args:
            batches: Batches of inputs that are generated together; their ids are indices of pieces.
            pieces: The inputs: ``Piece``, ``Picture``, or anything with their identity.
            text: The text that was read with every input.
            seed: With the name of an input, seeds its random numbers.
        """
        with inference(self.device, self.precision):
            for batch, outputs in self.outputs(batches, pieces, seed):
                yield from batch_rows(self.captioned(batch, outputs), pieces, text)

    def captioned(self, batch: Batch, outputs: Sequence[dict[str, Tensor]]) -> CaptionedBatch:
        """Return the texts of a batch."""
        texts = self.head.predictions(outputs, self.tokenizer)
        return CaptionedBatch(batch.ids, batch.read_errors, texts)

    def outputs(
        self, batches: Iterable[Batch], pieces: Sequence[Any], seed: int
    ) -> Iterator[tuple[Batch, list[dict[str, Tensor]]]]:
        """Yield the batches with the outputs of the head for their inputs.

        Args:
            batches: Batches of inputs that are generated together; their ids are indices of pieces.
            pieces: The inputs.
            seed: With the name of an input, seeds its random numbers.
        """

        def identity(index: str) -> str:
            return str(pieces[int(index)].identity)

        return texts_of(self.model, self.head, batches, self.device, seed, identity)

    def explained(
        self,
        batches: Iterable[Batch],
        pieces: Sequence[Any],
        text: str | None,
        seed: int,
        method: str,
    ) -> list[tuple[Row, Explanation]]:
        """Return the row of each input and the heat maps of its words.

        Args:
            batches: As for ``rows``.
            pieces: As for ``rows``.
            text: As for ``rows``.
            seed: As for ``rows``.
            method: ``gradient`` or ``rollout``.

        Raises:
            ConfigError: if the model or the method cannot explain its texts.
        """
        with inference(self.device, self.precision):
            generated = [*self.outputs(batches, pieces, seed)]
        found: list[tuple[Row, Explanation]] = []
        for batch, outputs in generated:
            rows = batch_rows(self.captioned(batch, outputs), pieces, text)
            tokens = [output["tokens"][0].tolist() for output in outputs]
            parts = (batch.to(self.device), tokens, self.tokenizer, method, self.name)
            found += zip(rows, explain(self.model, *parts), strict=True)
        return found

    def parts(self, samples: ManifestDataset, batch_size: int, num_workers: int) -> Iterator[Any]:
        """Yield the batches of inputs that ``mmtx caption`` generates together.

        Args:
            samples: The inputs as samples, whose ids are their indices.
            batch_size: Inputs per batch.
            num_workers: Processes that decode files.
        """
        loader = make_loader(samples, InOrder(len(samples), batch_size), num_workers)
        size = BATCHES * batch_size
        for _, part in groupby(loader, key=lambda batch: int(batch.ids[0]) // size):
            yield part
