"""Predict new files or manifest rows with every head of a trained model."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.inference.embeddings import FOLDER, write_embeddings
from mmtx_cli.inference.inputs import InputReader, piece_fields
from mmtx_cli.inference.output_lines import NOT_FINITE, print_outcome, write_quarantine
from mmtx_cli.io.atomic import atomic_write, write_json
from mmtx_cli.io.jsonl import finite, json_line
from mmtx_cli.runs.precomputed_features import feature_widths
from mmtx_cli.runs.run_config import PredictConfig, RunConfig
from mmtx_cli.runs.run_dir import open_run

if TYPE_CHECKING:
    from mmtx_cli.data.dataset import ManifestDataset
    from mmtx_cli.distributed.process import Process
    from mmtx_cli.inference.head_predictions import Predicted
    from mmtx_cli.model.multimodal import MultimodalModel


def predict(run: PredictConfig, paths: Sequence[str], texts: Sequence[str]) -> None:
    """Predict in every process; in the first, merge and write output lines and embeddings.

    Args:
        run: The settings.
        paths: Input files, if ``data.path`` names no manifest.
        texts: Candidate texts of contrastive heads.

    Raises:
        ConfigError: if no head can predict new inputs.
    """
    from mmtx_cli.distributed.launch import launch
    from mmtx_cli.inference.predict import load_model

    start = time.perf_counter()
    # unreadable inputs are reported in their output lines, however many they are
    run = replace(run, data=replace(run.data, max_unreadable_fraction=1.0))
    reader = InputReader.of(run)
    rows = manifest_rows(run) if run.data.path else None
    process = launch(run.trainer)
    model = load_model(run, process.device)
    head_names = predicting_heads(model, bool(texts))
    if not head_names and not run.embeddings:  # user-defined heads can only be checked here
        raise ConfigError(
            f"ckpt={run.ckpt}: no head makes predictions for new inputs (heads: "
            f"{', '.join(model.head)}); set embeddings=true to write only embeddings"
        )
    samples, lines = rows or input_lines(run, reader, paths)
    for message in samples.text_truncation_warnings() if process.is_first else ():
        print(f"{message}, as in training", file=sys.stderr)
    run_dir = open_run(run.plain)
    task = Task(head_names, texts, run.top, run.embeddings)
    results = fill_lines(lines, model, samples, task, reader, run, process)
    if results is None:
        return
    for note in results.missing(head_names):
        print(note, file=sys.stderr)
    arrays = results.embeddings() if run.embeddings else {}
    write(run_dir, lines, arrays, of_files=rows is None, seconds=time.perf_counter() - start)


@dataclass(frozen=True)
class Task:
    """What is predicted: by which heads, with which candidate texts (of contrastive heads) and
    number of most likely classes, and whether embeddings are computed.
    """

    heads: Sequence[str]
    texts: Sequence[str] = ()
    top: int = 5
    embeddings: bool = False


def predicting_heads(model: "MultimodalModel", with_texts: bool) -> list[str]:
    """Return the heads that predict for new inputs; contrastive ones need candidate texts."""
    return [
        name
        for name, head in model.head.items()
        if head.traits.predicts and (with_texts or not head.traits.contrastive)
    ]


def fill_lines(
    lines: Sequence[dict[str, Any]],
    model: "MultimodalModel",
    samples: "ManifestDataset",
    task: Task,
    reader: InputReader,
    run: RunConfig,
    process: "Process",
    recorded: bool = True,
) -> "Predicted | None":
    """Add the predictions to the output lines, in the first process; return all outputs there.

    Args:
        lines: The fields that each line begins with.
        model: The model.
        samples: The samples of the lines.
        task: What is predicted.
        reader: Turns the candidate texts into samples.
        run: The settings.
        process: This process.
        recorded: As for ``all_answers``.
    """
    from mmtx_cli.inference.candidate_texts import text_vectors
    from mmtx_cli.inference.head_predictions import predicted

    aligned = [name for name in task.heads if model.head[name].traits.contrastive]
    vectors = text_vectors(model, aligned, task.texts, reader, run, process, recorded)
    results = predicted(model, samples, task.heads, task.embeddings, run, process, recorded)
    if results is None:
        return None
    errors = results.errors()
    predictions = {
        name: results.predictions(name, reader.tokenizer, task.top, task.texts, vectors.get(name))
        for name in task.heads
    }
    for i, line in enumerate(lines):
        line_predictions = {name: predictions[name][i] for name in predictions}
        error = errors[i] or (NOT_FINITE if finite(line_predictions) != line_predictions else None)
        line |= {"error": error} if error else line_predictions
    return results


def manifest_rows(run: PredictConfig) -> tuple["ManifestDataset", list[dict[str, Any]]]:
    """Return the manifest rows as samples, and the initial fields of their output lines.

    Raises DataError if there are no rows, or none has a modality that the model reads.
    """
    from mmtx_cli.data.corpus import build_data
    from mmtx_cli.data.mixture import local_root
    from mmtx_cli.data.modality_columns import column_of, with_modality
    from mmtx_cli.inference.output_lines import sample_fields as described_row
    from mmtx_cli.runs.inherit import without_labels

    data, preparation = run.data, run.preprocessing
    # targets of new rows are ignored: they may be unknown to the model
    manifest = read_manifest(
        str(data.path),
        root=local_root(data.root, data),
        split=data.split,
        seed=run.seed,
        allow_outside_root=data.allow_outside_root,
        ignored={"captions", "label", "answers"} - {preparation.text},
        may_be_absent=True,  # reported in the row's output line
    )
    stored, text_encoder = without_labels(run.stored), run.encoder.get("text")
    corpus = build_data(data, preparation, run.seed, stored, text_encoder, manifest=manifest)
    rows = corpus.rows(run.split)
    if not rows:
        raise DataError(f"{corpus.manifest.path}: no rows with split={run.split}")
    modalities = [*run.encoder]
    if not any(with_modality(rows, name, corpus).any() for name in modalities):
        columns = " or ".join(column_of(name, corpus) for name in modalities)
        raise DataError(
            f"{corpus.manifest.path}: none of the {len(rows)} rows has {columns}, which the model "
            "reads"
        )
    samples = corpus.samples(rows, modalities, ())
    vectors = [*feature_widths(run.encoder)]
    text = preparation.text or "text"
    return samples, [described_row(row, modalities, text, vectors) for row in rows]


def input_lines(
    run: PredictConfig, reader: InputReader, paths: Sequence[str]
) -> tuple["ManifestDataset", list[dict[str, Any]]]:
    """Return files, or a single text, as samples, and the initial fields of their output lines."""
    from mmtx_cli.data.pieces import all_pieces

    fields = {"text": run.text} if run.text else {}
    if not paths:
        return reader.texts([str(run.text)]), [fields]
    pieces = list(all_pieces(paths, run.segment_seconds, reader.limits))
    samples = reader.files(pieces, [str(i) for i in range(len(pieces))], run.text)
    return samples, [piece_fields(piece) | fields for piece in pieces]


def write(
    run_dir: Path,
    lines: Sequence[Mapping[str, Any]],
    arrays: Mapping[str, Any],
    of_files: bool,
    seconds: float,
) -> None:
    """Write ``predictions.jsonl``, embeddings and ``result.json``; print lines and the run folder.

    Args:
        run_dir: The run folder.
        lines: Output line of each input.
        arrays: Embeddings of all inputs, by name.
        of_files: Whether inputs are files, whose paths identify them in the quarantine.
        seconds: Elapsed time.
    """
    written = [json_line(line) for line in lines]
    with atomic_write(run_dir / "predictions.jsonl") as temporary:
        temporary.write_text("\n".join(written) + "\n", encoding="utf-8")
    if of_files:
        write_quarantine(run_dir, lines)
    shapes = write_embeddings(run_dir, arrays)
    unread = sum("error" in line for line in lines)
    result = {"command": "predict", "count": len(lines), "unread": unread, "embeddings": shapes}
    write_json(run_dir / "result.json", result | {"seconds": round(seconds, 3)})
    for line in written:
        print(line)
    for name, shape in shapes.items():
        print(f"{run_dir / FOLDER / name}.npy: {shape[0]} x {shape[1]}", file=sys.stderr)
    print_outcome(run_dir, lines, "read")
