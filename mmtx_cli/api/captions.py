"""Texts that the captioning head of a trained model generates for batches of inputs."""

from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch

from mmtx_cli.config.schema import GenerationSettings
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.input_files import Picture, Piece
from mmtx_cli.data.loader import make_loader
from mmtx_cli.data.text.tokenizer import Tokenizer
from mmtx_cli.inference.caption import batch_rows, identity_of
from mmtx_cli.inference.caption_plan import BATCHES
from mmtx_cli.inference.part_sampler import InOrder
from mmtx_cli.inference.predict import inference
from mmtx_cli.inference.texts import texts_of
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.types import Batch

Row = dict[str, Any]


@dataclass(frozen=True)
class Captioner:
    """A captioning head with the settings of one call; several may share a model.

    Args:
        model: The model.
        head: The head, with its settings of the generation.
        tokenizer: Of the texts.
        device: Of the model.
        precision: Lightning's name of the precision.
    """

    model: MultimodalModel
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
        """
        head: Any = copy(model.head[name])  # shares the weights
        head.generation = settings
        return cls(model, head, tokenizer, device, precision)

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
            pieces: The inputs: ``Piece``, ``Picture``, or anything with their name and start.
            text: The text that was read with every input.
            seed: With the name of an input, seeds its random numbers.
        """

        def identity(index: str) -> str:
            return identity_of(pieces[int(index)])

        with inference(self.device, self.precision):
            found = texts_of(self.model, self.head, batches, self.device, seed, identity)
            for batch, outputs in found:
                texts = self.head.predictions(outputs, self.tokenizer)
                yield from batch_rows(batch, texts, pieces, self.head, text)

    def all_rows(
        self,
        samples: ManifestDataset,
        pieces: Sequence[Piece | Picture],
        text: str | None,
        seed: int,
        batch_size: int,
        num_workers: int,
    ) -> Iterator[Row]:
        """Yield the row of each input, with the batches of ``mmtx caption``.

        Args:
            samples: The inputs as samples, whose ids are their indices.
            pieces: The inputs.
            text: The text that is read with every input.
            seed: Seed of sampled texts.
            batch_size: Inputs per batch.
            num_workers: Processes that decode files.
        """
        loader = make_loader(samples, InOrder(len(samples), batch_size), num_workers)
        size = BATCHES * batch_size
        for _, part in groupby(loader, key=lambda batch: int(batch.ids[0]) // size):
            yield from self.rows(part, pieces, text, seed)
