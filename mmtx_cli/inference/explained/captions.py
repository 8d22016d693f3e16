"""Heat maps of generated texts: one PNG per input in the folder ``explanations`` of a run."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mmtx_cli.errors import CheckpointError
from mmtx_cli.explanation.drawing.draw import SIDE, Explained, sheet_of
from mmtx_cli.explanation.drawing.region import WHOLE, Region, read_region
from mmtx_cli.explanation.explain import Explanation, explain
from mmtx_cli.explanation.support import check_explainable
from mmtx_cli.generation.words import word_probabilities
from mmtx_cli.head.captioning import CaptioningHead
from mmtx_cli.inference.inputs import NO_TOKENIZER, InputReader
from mmtx_cli.io.atomic import atomic_write, make_subfolder
from mmtx_cli.layer.input.mel import HOPS_PER_SECOND, LogMel
from mmtx_cli.layer.sequence_mask import sequence_lengths
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.image_reader import picture_kind, read_picture
from mmtx_cli.media.worker.isolated_decoder import IsolatedDecoder
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.report.html import write_report
from mmtx_cli.runs.run_config import CaptionConfig
from mmtx_cli.types import Batch, ModalityInput

if TYPE_CHECKING:
    from mmtx_cli.data.input_files import Piece

FOLDER = "explanations"
DYNAMIC_RANGE = 12.0
"""Natural logarithm of the ratio of the loudest to the softest power that is drawn: 52 dB."""
LONGEST_NAME = 40
"""Characters of a file's name that are part of the name of its PNG."""


def method_of(run: CaptionConfig) -> str | None:
    """Return the method of explanation, or None."""
    return "gradient" if run.explain is True else run.explain or None


def explanation_path(run: CaptionConfig, index: int, path: str) -> str | None:
    """Return the path of the PNG of an input in the run folder; None if it is not explained.

    Args:
        run: The settings.
        index: Number of the input, from 0.
        path: Its file.
    """
    if not run.explain or index >= run.explain_limit:
        return None
    stem = re.sub(r"[^A-Za-z0-9-]+", "_", Path(path).stem)[:LONGEST_NAME]
    return f"{FOLDER}/{index:06}_{stem}.png"


@dataclass(frozen=True)
class Explainer:
    """Explains texts that a head generated.

    Args:
        run: The settings.
        model: The model.
        head: The head.
        name: Its name.
        reader: Has the tokenizer and the preprocessing.
        pieces: All inputs.
        guard: Decoder of the original pictures.
    """

    run: CaptionConfig
    model: MultimodalModel
    head: CaptioningHead
    name: str
    reader: InputReader
    pieces: "Sequence[Piece]"
    guard: IsolatedDecoder

    @classmethod
    def of(
        cls,
        run: CaptionConfig,
        model: MultimodalModel,
        head: str,
        reader: InputReader,
        pieces: "Sequence[Piece]",
    ) -> "Explainer | None":
        """Return what explains the texts of a run, or None if it is not wanted.

        Args:
            run: The settings.
            model: The model.
            head: Name of the head.
            reader: Reads the inputs.
            pieces: All inputs.

        Raises:
            ConfigError: If the model cannot be explained.
        """
        if (method := method_of(run)) is None:
            return None
        found = check_explainable(model, method, head)
        make_subfolder(run.run_dir / FOLDER)
        guard = IsolatedDecoder(reader.limits.seconds, memory=reader.limits.bytes)
        return cls(run, model, found, head, reader, pieces, guard)

    def chosen(self, batch: Batch) -> list[int]:
        """Return the rows of a batch to explain: of the first inputs, those that can be read."""
        broken = {fault["id"] for fault in batch.read_errors}
        limit = self.run.explain_limit
        return [i for i, own in enumerate(batch.ids) if int(own) < limit and own not in broken]

    def write(self, batch: Batch, outputs: Sequence[Mapping[str, Tensor]]) -> None:
        """Write the PNGs of the inputs of a batch.

        Args:
            batch: The inputs, on the CPU.
            outputs: Of the head, for each input; the first text is explained.
        """
        if (tokenizer := self.reader.tokenizer) is None:
            raise CheckpointError(f"ckpt={self.run.ckpt}: {NO_TOKENIZER}")
        if not (rows := self.chosen(batch)):
            return
        device = next(self.model.parameters()).device
        with torch.inference_mode(False):
            index = torch.tensor(rows)
            part = batch.map(lambda x: x[index].to(device))
        part.ids = [batch.ids[row] for row in rows]
        texts = [outputs[row]["tokens"][0].tolist() for row in rows]
        method = method_of(self.run) or ""
        explanations = explain(self.model, part, texts, tokenizer, method, self.name)
        for row, text, found in zip(rows, texts, explanations, strict=True):
            if not torch.isfinite(outputs[row]["score"][0]):
                continue
            log_probs = outputs[row]["log_prob"][0].tolist()
            words = word_probabilities(text, log_probs, self.head.eos_id, tokenizer)
            pairs = [(str(word["word"]), float(word["probability"])) for word in words]
            self.draw(batch, row, tokenizer.decode(text), pairs, found)

    def draw(
        self,
        batch: Batch,
        row: int,
        caption: str,
        words: Sequence[tuple[str, float]],
        explanation: Explanation,
    ) -> None:
        """Draw and write the sheet of an input.

        Args:
            batch: The inputs.
            row: Of the input in the batch.
            caption: Its text.
            words: The words with their probabilities.
            explanation: Their maps.
        """
        number = int(batch.ids[row])
        maps, inputs = explanation.maps, batch.inputs
        frames = {n: shown_frames(inputs[n], row) for n in maps if n in ("image", "video")}
        spectrogram = spectrogram_of(inputs["audio"], row) if "audio" in maps else None
        seconds = 0.0 if spectrogram is None else len(spectrogram) / HOPS_PER_SECOND
        picture, region = self.original(number, frames)
        sheet = sheet_of(
            Explained(caption, words, maps, picture, region, frames, spectrogram, seconds)
        )
        name = explanation_path(self.run, number, self.pieces[number].path)
        assert name is not None
        with atomic_write(self.run.run_dir / name) as temporary:
            sheet.save(temporary)

    def original(
        self, number: int, frames: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray | None, Region]:
        """Return the original picture of an input and what the model reads of it; else None."""
        path = self.pieces[number].path
        counts = [len(own) for own in frames.values()]
        if counts != [1] or picture_kind(self.guard, path) != "still":
            return None, WHOLE
        limits, prepared = self.reader.limits, self.reader.preparation
        try:
            picture = read_picture(self.guard, path, SIDE, limits.pixels)
        except UnreadableError:  # it has changed since it was captioned
            return None, WHOLE
        height, width = picture.shape[:2]
        return picture, read_region(height, width, prepared.image_size, prepared.resize_mode)


def shown_frames(field: ModalityInput, row: int) -> np.ndarray:
    """Return the real pictures or frames of an input, [l, h, w, 3]."""
    frames = field.data[row, field.mask[row]].permute(0, 2, 3, 1)
    return np.ascontiguousarray(frames.cpu().numpy())


def spectrogram_of(field: ModalityInput, row: int) -> Float[np.ndarray, "t m"]:
    """Return the spectrogram of an input from 0 to 1, up to its end."""
    mask = field.mask[row : row + 1]
    length = int(sequence_lengths(mask)[0])
    own = ModalityInput(field.data[row : row + 1, :length].cpu(), mask[:, :length].cpu())
    mel = LogMel(own.data.shape[2] * HOPS_PER_SECOND, normalize=None)
    x = mel(own)[0]
    return ((x - x.max()) / DYNAMIC_RANGE + 1).clamp(min=0).numpy()


def report_explained(run: CaptionConfig, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the report of the run, and print where the explanations are.

    Args:
        run: The settings.
        rows: The lines of the inputs.
    """
    count = sum("explanation" in row for row in rows)
    captioned = sum("error" not in row for row in rows)
    report = write_report(run.run_dir, title="Explained captions")
    if count < captioned:
        found = f"{count} of {captioned} inputs; explain_limit={len(rows)} explains all"
    else:
        found = f"{count} inputs"
    print(f"explained {found}; report: {report}", file=sys.stderr)
