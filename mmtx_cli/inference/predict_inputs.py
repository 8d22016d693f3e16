"""Predict new files or manifest rows with every head of a trained model."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from mmtx_cli.config.schema import DataSettings
from mmtx_cli.data.manifest.read import read_manifest
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.inference.embeddings import FOLDER, write_embeddings
from mmtx_cli.inference.inputs import InputReader, described
from mmtx_cli.inference.output_lines import NOT_FINITE, end, write_quarantine
from mmtx_cli.io.atomic import replaced, write_json
from mmtx_cli.io.jsonl import finite, json_line
from mmtx_cli.runs.precomputed_features import feature_widths
from mmtx_cli.runs.resolve import preparation_of, sections
from mmtx_cli.runs.run_dir import open_run

if TYPE_CHECKING:
    from mmtx_cli.data.dataset import ManifestDataset


def predict(
    cfg: DictConfig, stored: Mapping[str, Any], paths: Sequence[str], texts: Sequence[str]
) -> None:
    """Predict in every process; in the first, merge and write output lines and embeddings.

    Args:
        cfg: The configuration.
        stored: Config of the trained model.
        paths: Input files, if ``data.path`` names no manifest.
        texts: Candidate texts of contrastive heads.

    Raises:
        ConfigError: if no head can predict new inputs.
    """
    from mmtx_cli.distributed.launch import launch
    from mmtx_cli.inference.candidate_texts import text_vectors
    from mmtx_cli.inference.head_predictions import predicted
    from mmtx_cli.inference.predict import load_model

    begun = time.perf_counter()
    settings = sections(cfg)
    # unreadable inputs are reported in their output lines, however many they are
    settings["data"] = replace(settings["data"], max_bad_fraction=1.0)
    reader = InputReader.of(cfg, stored, settings["data"])
    rows = manifest_rows(cfg, stored, settings["data"]) if cfg.data.get("path") else None
    process = launch(settings["trainer"])
    model = load_model(cfg, process.device)
    speaking = [n for n, head in model.head.items() if head.predicts and (texts or not head.aligns)]
    if not speaking and not cfg.embeddings:  # user-defined heads can only be checked here
        raise ConfigError(
            f"ckpt={cfg.ckpt}: no head makes predictions for new inputs (heads: "
            f"{', '.join(model.head)}); set embeddings=true to write only embeddings"
        )
    samples, lines = rows or input_lines(cfg, reader, paths)
    for cut in samples.cut_texts() if process.is_first else ():
        print(f"{cut}, as in training", file=sys.stderr)
    run_dir = open_run(cfg)
    aligned = [name for name in speaking if model.head[name].aligns]
    vectors = text_vectors(model, aligned, texts, reader, settings, process, run_dir)
    found = predicted(model, samples, speaking, cfg.embeddings, settings, process, run_dir)
    if found is None:
        return
    errors = found.errors()
    said = {
        name: found.predictions(name, reader.tokenizer, cfg.top, texts, vectors.get(name))
        for name in speaking
    }
    for i, line in enumerate(lines):
        own = {name: said[name][i] for name in said}
        error = errors[i] or (NOT_FINITE if finite(own) != own else None)
        line |= {"error": error} if error else own
    for note in found.missing(speaking):
        print(note, file=sys.stderr)
    arrays = found.embeddings() if cfg.embeddings else {}
    write(run_dir, lines, arrays, of_files=rows is None, seconds=time.perf_counter() - begun)


def manifest_rows(
    cfg: DictConfig, stored: Mapping[str, Any], data: DataSettings
) -> tuple["ManifestDataset", list[dict[str, Any]]]:
    """Return the manifest rows as samples, and the initial fields of their output lines.

    Raises DataError if there are no rows, or none has a modality that the model reads.
    """
    from mmtx_cli.data.corpus import build_data
    from mmtx_cli.data.modality_columns import column_of, has_modality
    from mmtx_cli.inference.output_lines import described as described_row
    from mmtx_cli.runs.inherit import without_labels

    preparation = preparation_of(cfg, data)
    text_encoder = cfg.encoder.get("text")
    # targets of new rows are ignored: they may be unknown to the model
    manifest = read_manifest(
        str(data.path),
        root=data.root,
        split=data.split,
        seed=cfg.seed,
        allow_outside_root=data.allow_outside_root,
        ignored={"captions", "label", "answers"} - {preparation.text},
        may_be_absent=True,  # reported in the row's output line
    )
    corpus = build_data(
        data, preparation, cfg.seed, without_labels(stored), text_encoder, manifest=manifest
    )
    rows = corpus.rows(cfg.split)
    if not rows:
        raise DataError(f"{corpus.manifest.path}: no rows with split={cfg.split}")
    modalities = [name for name, node in cfg.encoder.items() if node]
    if not any(has_modality(row, name, corpus) for row in rows for name in modalities):
        wanted = " or ".join(column_of(name, corpus) for name in modalities)
        raise DataError(
            f"{corpus.manifest.path}: none of the {len(rows)} rows has {wanted}, which the model "
            "reads"
        )
    samples = corpus.samples(rows, modalities, ())
    vectors = [*feature_widths(cfg.encoder)]
    text = preparation.text or "text"
    return samples, [described_row(row, modalities, text, vectors) for row in rows]


def input_lines(
    cfg: DictConfig, reader: InputReader, paths: Sequence[str]
) -> tuple["ManifestDataset", list[dict[str, Any]]]:
    """Return files, or a single text, as samples, and the initial fields of their output lines."""
    from mmtx_cli.data.input_files import all_pieces

    asked = {"text": cfg.text} if cfg.text else {}
    if not paths:
        return reader.texts([cfg.text]), [asked]
    pieces = list(all_pieces(paths, cfg.segment_seconds, reader.limits))
    samples = reader.files(pieces, [str(i) for i in range(len(pieces))], cfg.text)
    return samples, [described(piece) | asked for piece in pieces]


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
    with replaced(run_dir / "predictions.jsonl") as temporary:
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
    end(run_dir, lines, "read")
