"""Texts of files by a model of ONNX graphs, without torch."""

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from mmtx_cli.config.preprocessing import HOPS_PER_SECOND
from mmtx_cli.counter_rng.bits import id_keys, seeded_keys
from mmtx_cli.data.array_reader import ArrayMedia, padded
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.pieces import read_file
from mmtx_cli.errors import ConfigError
from mmtx_cli.generation.limits import Limits
from mmtx_cli.generation.numpy.make import make_method
from mmtx_cli.generation.numpy.search import search
from mmtx_cli.generation.numpy.texts import Texts
from mmtx_cli.generation.words import text_row
from mmtx_cli.inference.caption_plan import Plan
from mmtx_cli.inference.inputs import InputReader
from mmtx_cli.inference.onnx.sessions import Graphs
from mmtx_cli.inference.output_lines import CaptionedBatch
from mmtx_cli.io.console import files_bar, paused
from mmtx_cli.io.onnx_folder import GraphFacts
from mmtx_cli.media.backend import VARIABLE
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.runs.run_config import CaptionConfig

MODEL_PARTS = ("dim", "encoder", "fusion", "connector", "decoder", "head")


def check_settings(run: CaptionConfig) -> None:
    """Check that a model of graphs can do what the settings demand.

    Raises:
        ConfigError: naming what it cannot.
    """
    trainer, data, stored = run.trainer, run.data, run.stored["model"]
    faults = [
        f"{key}={value}: an ONNX model runs on the CPU, in one process and in single precision; "
        f"remove it, or use the model that was exported"
        for key, value, possible in (
            ("trainer.accelerator", trainer.accelerator, ("auto", "cpu")),
            ("trainer.devices", trainer.devices, ("1", 1, "auto")),
            ("trainer.num_nodes", trainer.num_nodes, (1,)),
            ("trainer.precision", trainer.precision, ("32-true", "32", 32)),
            ("data.num_workers", data.num_workers, (None, 0)),
        )
        if value not in possible
    ]
    model = run.model
    faults += [
        f"{key}: the parts of an ONNX model cannot be changed; remove it"
        for key in MODEL_PARTS
        if model[key] != stored.get(key)
    ]
    if run.explain:
        faults.append("explain: needs the model that was exported; remove it, or use that model")
    if os.environ.get(VARIABLE) not in (None, "", "pyav"):
        faults.append(f"{VARIABLE}: an ONNX model reads videos with pyav; unset it")
    if faults:
        raise ConfigError(*faults)
    make_method(run.generation, limits_of(GraphFacts.of(run.stored, Path(str(run.ckpt)))))


def limits_of(facts: GraphFacts) -> Limits:
    """Return the limits of the texts."""
    return Limits(facts.bos_id, facts.eos_id, facts.max_length)


class FileReader:
    """Reads the files of a batch as inputs of the encoder."""

    def __init__(self, run: CaptionConfig, reader: InputReader, plan: Plan) -> None:
        p = reader.preparation
        self.media = ArrayMedia(p, reader.limits)
        self.plan, self.text, self.modalities = plan, run.text, reader.modalities
        picture = (3, p.image_size, p.image_size), np.uint8
        self.shapes: dict[str, tuple[tuple[int, ...], type]] = {
            "image": picture,
            "video": picture,
            "audio": ((p.sample_rate // HOPS_PER_SECOND,), np.float32),
            "text": ((), np.int64),
        }
        self.tokens: np.ndarray | None = None
        tokenizer = reader.text_tokenizer or reader.tokenizer
        if run.text and "text" in self.modalities and tokenizer is not None:
            self.tokens = np.array(tokenizer.encode([run.text], p.max_length)[0])

    def batch(self, rows: Sequence[int]) -> tuple[dict[str, np.ndarray], list[dict[str, str]]]:
        """Return the inputs of the encoder, and the files that could not be read."""
        samples: list[dict[str, Any]] = []
        faults: list[dict[str, str]] = []
        for row in rows:
            try:
                samples.append(self.read(row))
            except UnreadableError as error:
                faults.append({"id": str(row), "path": error.path, "reason": error.reason})
                samples.append({})
        inputs: dict[str, np.ndarray] = {}
        for name in self.modalities:
            values = [sample.get(name) for sample in samples]
            inputs[name], inputs[f"{name}_mask"] = padded(values, *self.shapes[name])
        return inputs, faults

    def read(self, row: int) -> dict[str, Any]:
        """Return what the model reads of a file."""
        piece = self.plan.pieces[row]
        sample = Sample(id=str(row), split="test", start=piece.start, end=piece.end, text=self.text)
        inputs = read_file(self.media, piece.path, sample, self.modalities)
        return inputs if self.tokens is None else inputs | {"text": self.tokens}


def onnx_captions(run: CaptionConfig, plan: Plan, reader: InputReader) -> Iterator[CaptionedBatch]:
    """Yield the texts of the unfinished parts of a plan, in batches.

    Args:
        run: The settings.
        plan: What there is to do.
        reader: Describes how files become inputs.

    Raises:
        CheckpointError: if the folder is damaged.
        ConfigError: if a setting is not supported, or ONNX Runtime is not installed.
    """
    folder, tokenizer = Path(str(run.ckpt)).expanduser(), reader.tokenizer
    assert tokenizer is not None, "read_onnx_config requires a tokenizer"
    facts = GraphFacts.of(run.stored, folder)
    method = make_method(run.generation, limits_of(facts))
    files = FileReader(run, reader, plan)
    size = run.data.eval_batch_size or run.data.batch_size
    graphs = Graphs(folder, run.stored, min(size, len(plan.pieces)) * method.rows)
    bar = files_bar()
    total = bar.add_task("captions", total=len(plan.pieces), completed=plan.finished())
    with bar, closing(files.media.guard):
        for rows in batches(plan, size):
            inputs, faults = files.batch(rows)
            keys = seeded_keys(id_keys(plan.pieces[i].identity for i in rows), run.seed, 0)
            texts = search(graphs.start(inputs), method, keys)
            bar.update(total, advance=len(rows))
            with paused(bar):
                yield CaptionedBatch(
                    [str(row) for row in rows],
                    faults,
                    [text_of(texts, i, run, facts, tokenizer) for i in range(len(rows))],
                )


def batches(plan: Plan, size: int) -> Iterator[Sequence[int]]:
    """Yield the inputs of each batch; a batch does not reach beyond its part."""
    for number in plan.take():
        part = plan.reading_order(number)
        yield from (part[i : i + size] for i in range(0, len(part), size))


def text_of(texts: Texts, i: int, run: CaptionConfig, facts: Any, tokenizer: Any) -> dict[str, Any]:
    """Return the prediction of an input, as that of the head."""
    log_probs = texts.log_probs[i].tolist() if run.generation.token_scores else None
    return text_row(
        texts.tokens[i].tolist(),
        texts.scores[i].tolist(),
        log_probs,
        facts.key,
        facts.eos_id,
        tokenizer,
    )
