"""Caption files: the processes share the parts of a plan, and the first one merges them."""

import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mmtx_cli.distributed.process import Process
from mmtx_cli.errors import CheckpointError
from mmtx_cli.inference.caption_diversity import captioned_diversity, print_warnings
from mmtx_cli.inference.caption_plan import FOLDER, Plan, check_plan, make_plan
from mmtx_cli.inference.inputs import NO_TOKENIZER, InputReader, piece_fields
from mmtx_cli.inference.output_lines import (
    NOT_FINITE,
    CaptionedBatch,
    print_outcome,
    write_quarantine,
)
from mmtx_cli.inference.sidecar import check_template, without_caption, write_sidecar
from mmtx_cli.inference.subtitles import write_subtitles
from mmtx_cli.io.atomic import atomic_write, write_json
from mmtx_cli.io.jsonl import json_line
from mmtx_cli.io.quoting import quoted
from mmtx_cli.media.backend import load_array_decoders, load_decoders
from mmtx_cli.runs.run_config import CaptionConfig
from mmtx_cli.runs.run_dir import open_run

TEXT_KEYS = ("caption", "prediction")
"""Keys of the text in the predictions of a head; the second is for answers."""


def caption(run: CaptionConfig, paths: Sequence[str]) -> None:
    """Caption the files and write one JSON line for each, in their order, also after a kill.

    The processes share the parts of the plan; the first one merges their lines.
    """
    check_template(run.template)
    wanted = without_caption(paths, run.sidecar, run.overwrite) if run.sidecar else list(paths)
    if not wanted and not (run.run_dir / FOLDER).exists():
        print(
            f"all {len(paths)} inputs have a caption; overwrite=true replaces them",
            file=sys.stderr,
        )
        return
    process = process_of(run)
    reader = InputReader.of(run)
    found = pieces_of(paths, run, reader)
    check_plan(run, found, process)
    run_dir = open_run(run.plain, "pyav" if run.is_onnx else None)
    own = pieces_of(wanted, run, reader) if run.sidecar else found
    plan = make_plan(run, found, own, process, lengths_differ="audio" in reader.modalities)
    if process.is_first:
        report_plan(plan, len(paths) - len(wanted), run)
    single = process.world == 1
    if single:
        for number in sorted(plan.finished_parts()):
            print(plan.lines(number).read_text(encoding="utf-8"), end="", flush=True)
    for number, rows in finished_parts(run, process, plan, reader, echo=single):
        if run.sidecar:
            for row in rows:
                if "caption" in row:
                    write_sidecar(row, run.sidecar, run.overwrite)
        plan.write(number, rows)
    process.barrier()
    if process.is_first:
        heads = [node for node in run.head.values() if node]
        answers = any(node.get("target") == "answers" for node in heads)
        finish(run, run_dir, plan, echo=not single, answers=answers)


def process_of(run: CaptionConfig) -> Process:
    """Return this process, after starting the others; a model without torch has only one.

    Raises:
        ConfigError: if the settings are not possible.
    """
    if run.is_onnx:
        from mmtx_cli.inference.onnx.captions import check_settings

        check_settings(run)
        return Process(0, 1, None, lambda: None)
    from mmtx_cli.distributed.launch import launch

    return launch(run.trainer)


def pieces_of(paths: Sequence[str], run: CaptionConfig, reader: InputReader) -> list[Any]:
    """Return the files, or the segments of films."""
    from mmtx_cli.data.pieces import all_pieces

    load = load_array_decoders if run.is_onnx else load_decoders
    return list(all_pieces(paths, run.segment_seconds, reader.limits, load))


def report_plan(plan: Plan, skipped: int, run: CaptionConfig) -> None:
    """Print what is left to do, and how an interrupted run is continued."""
    total, done = len(plan.pieces), plan.finished()
    if done:
        print(f"continued: {total - done} of {total} inputs to caption", file=sys.stderr)
    elif skipped:
        print(f"{total} inputs to caption; {skipped} have a caption", file=sys.stderr)
    if plan.parts > 1 and not done:
        print(f"if interrupted, continue with run_dir={quoted(str(run.run_dir))}", file=sys.stderr)


def finished_parts(
    run: CaptionConfig, process: Process, plan: Plan, reader: InputReader, echo: bool
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Yield the parts that this process generates, and their rows.

    Args:
        run: The settings.
        process: This process.
        plan: What there is to do.
        reader: Reads the inputs.
        echo: Whether to print the rows as they are generated.

    Raises:
        ConfigError: if the model cannot caption files.
        CheckpointError: if its tokenizer is missing.
    """
    if reader.tokenizer is None:
        raise CheckpointError(f"ckpt={run.ckpt}: {NO_TOKENIZER}")
    batches: Iterator[CaptionedBatch]
    if run.is_onnx:
        from mmtx_cli.inference.onnx.captions import onnx_captions

        batches = onnx_captions(run, plan, reader)
    else:
        from mmtx_cli.inference.texts import captions

        batches = captions(run, process, plan, reader)
    for number, part in groupby(batches, key=lambda batch: int(batch.ids[0]) // plan.size):
        numbered = (
            (int(name), row)
            for batch in part
            for name, row in zip(batch.ids, run_rows(batch, plan.pieces, run), strict=True)
        )
        rows = []
        for row in in_order(numbered, plan.part(number)):
            if echo:
                print(json_line(row), flush=True)
            rows.append(row)
        yield number, rows


def in_order(rows: Iterable[tuple[int, dict[str, Any]]], part: range) -> Iterator[dict[str, Any]]:
    """Yield the rows of a part, which arrive with their numbers, in order, each as soon as it can
    be.
    """
    arrived: dict[int, dict[str, Any]] = {}
    expected = part.start
    for number, row in rows:
        arrived[number] = row
        while expected in arrived:
            yield arrived.pop(expected)
            expected += 1


def run_rows(
    batch: CaptionedBatch, pieces: Sequence[Any], run: CaptionConfig
) -> Iterator[dict[str, Any]]:
    """Yield the row of each input of a batch, with the path of its explanation.

    Args:
        batch: The texts, whose ids are indices of the inputs.
        pieces: All inputs.
        run: The settings.
    """
    rows = batch_rows(batch, pieces, run.text, run.template)
    if not run.explain:
        yield from rows
        return
    from mmtx_cli.inference.explained.captions import explanation_path

    for i, row in zip(map(int, batch.ids), rows, strict=True):
        path = explanation_path(run, i, pieces[i].path)
        yield row | ({"explanation": path} if path and "caption" in row else {})


def batch_rows(
    batch: CaptionedBatch, pieces: Sequence[Any], text: str | None, template: str | None = None
) -> Iterator[dict[str, Any]]:
    """Yield the row of each input of a batch.

    Args:
        batch: The texts, whose ids are indices of the inputs.
        pieces: All inputs.
        text: Text that the model has read with every input.
        template: Text around the captions.
    """
    errors = {fault["id"]: fault["reason"] for fault in batch.read_errors}
    for i, found in zip(batch.ids, batch.texts, strict=True):
        row = piece_fields(pieces[int(i)]) | ({"text": text} if text else {})
        if i in errors:
            yield row | {"error": errors[i]}
        elif not math.isfinite(found["score"]):
            yield row | {"error": NOT_FINITE}
        else:
            yield row | captioned(found, template)


def captioned(text: dict[str, Any], template: str | None) -> dict[str, Any]:
    """Return a prediction of the head with its texts as captions."""
    found: dict[str, Any] = {}
    for key, value in text.items():
        if key in TEXT_KEYS:
            found["caption"] = template.replace("{caption}", value) if template else value
        elif key == "alternatives":
            found[key] = [captioned(other, template) for other in value]
        else:
            found[key] = value
    return found


def finish(
    run: CaptionConfig, run_dir: Path, plan: Plan, echo: bool, answers: bool = False
) -> None:
    """Merge the parts into ``captions.jsonl``; list unreadable files in ``quarantine.jsonl``.

    Args:
        run: The settings.
        run_dir: The run folder.
        plan: The plan, whose parts are finished.
        echo: Whether to print the lines.
        answers: Whether the texts answer a question; repeats are then expected.
    """
    lines = plan.merge()
    parsed = [json.loads(line) for line in lines]
    write_quarantine(run_dir, parsed)
    subtitles = write_subtitles(run_dir / "subtitles", parsed)
    if not answers:
        report_diversity(run_dir, parsed)
    if echo and lines:
        print("\n".join(lines))
    # last, so that a run that is killed here is finished by the same command
    with atomic_write(run_dir / "captions.jsonl") as temporary:
        text = "".join(f"{line}\n" for line in lines)
        temporary.write_text(text, encoding="utf-8", newline="\n")
    if run.explain:
        from mmtx_cli.inference.explained.captions import report_explained

        report_explained(run, parsed)
    plan.remove()
    if subtitles:
        print(f"{len(subtitles)} subtitle files in {run_dir / 'subtitles'}", file=sys.stderr)
    print_outcome(run_dir, parsed, "captioned")


def report_diversity(run_dir: Path, rows: Sequence[dict[str, Any]]) -> None:
    """Write ``result.json`` with the diversity of the captions; print it on standard error."""
    if (figures := captioned_diversity(rows)) is None:
        return
    diversity = {"captions": figures}
    result = {"command": "caption", "count": len(rows), "diversity": diversity}
    write_json(run_dir / "result.json", result)
    print(
        f"{figures['distinct']} of {figures['count']} captions are distinct; inputs with the most "
        f"frequent one: {figures['most_frequent_count']}",
        file=sys.stderr,
    )
    print_warnings(diversity)
