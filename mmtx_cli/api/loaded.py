"""A trained model with its settings: what the methods of the Python API share."""

import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch

from mmtx_cli.api.captions import Captioner
from mmtx_cli.data.dataset import ManifestDataset
from mmtx_cli.data.input_files import InputFiles, Picture
from mmtx_cli.data.pieces import Piece
from mmtx_cli.data.sample_reader import Media
from mmtx_cli.distributed.process import Process
from mmtx_cli.errors import CheckpointError
from mmtx_cli.inference.head_predictions import Predicted
from mmtx_cli.inference.inputs import NO_TOKENIZER, InputReader
from mmtx_cli.inference.predict_inputs import Task, fill_lines
from mmtx_cli.inference.texts import captioning_head
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.runs.run_config import RunConfig
from mmtx_cli.runs.trained_model import check_caption, chosen_generation

CHECKED = 256
"""Number of settings whose checks are remembered."""


class LoadedModel:
    """A trained model with its settings, and the lock of its computations."""

    def __init__(
        self, run: RunConfig, network: MultimodalModel, reader: InputReader, device: torch.device
    ) -> None:
        """Use ``mmtx_cli.load`` instead.

        Args:
            run: Settings.
            network: The model, on the device.
            reader: Turns inputs into samples.
            device: Device of the model.
        """
        self.run, self.network, self.reader, self.device = run, network, reader, device
        self._process = Process(0, 1, device, lambda: None, progress=False)
        self._media = Media(reader.preparation, limits=reader.limits)
        self._lock = threading.Lock()
        self.check_caption = lru_cache(CHECKED)(self._check_caption)

    def __repr__(self) -> str:
        parts = f"modalities={self.modalities}, heads={self.heads}, device='{self.device}'"
        return f"Model({self.run.ckpt!r}, {parts})"

    @property
    def modalities(self) -> list[str]:
        """Modalities that the model reads."""
        return [*self.network.encoder]

    @property
    def heads(self) -> list[str]:
        """Names of its heads."""
        return [*self.network.head]

    @property
    def batch_size(self) -> int:
        """Inputs per batch."""
        return self.run.data.eval_batch_size or self.run.data.batch_size

    def _check_caption(
        self, has_text: bool, segment_seconds: float | None = None, seed: int | None = None
    ) -> None:
        """Check settings of a call; cached as ``check_caption``, since it takes milliseconds.

        Raises:
            ConfigError: naming all errors.
        """
        chosen = {"text": "x" if has_text else None, "segment_seconds": segment_seconds}
        check_caption(self.run, chosen if seed is None else {**chosen, "seed": seed})

    def captioner(self, generation: dict[str, Any]) -> Captioner:
        """Return what generates texts of batches, with the chosen settings of the generation.

        Raises:
            ConfigError: if the model generates no texts, or settings are invalid.
            CheckpointError: if its tokenizer is missing.
        """
        name = captioning_head(self.run.ckpt, self.network)
        settings = chosen_generation(self.run, generation)
        if (tokenizer := self.reader.tokenizer) is None:
            raise CheckpointError(f"ckpt={self.run.ckpt}: {NO_TOKENIZER}")
        precision = self.run.trainer.precision
        return Captioner.of(self.network, name, settings, tokenizer, self.device, precision)

    def _fill(self, lines: list[dict[str, Any]], samples: ManifestDataset, task: Task) -> Predicted:
        """Add the predictions to the lines of the samples; return all outputs."""
        rest = (self.reader, self.run, self._process)
        with self._lock:
            results = fill_lines(lines, self.network, samples, task, *rest, recorded=False)
        assert results is not None, "there is one process"
        return results

    def _samples(self, pieces: Sequence[Piece | Picture], text: str | None) -> InputFiles:
        """Return inputs as samples, whose ids are their indices."""
        names = [str(i) for i in range(len(pieces))]
        return self.reader.files(pieces, names, text, self._media)
