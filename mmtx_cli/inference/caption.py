"""Caption files: the processes share the parts of a plan, and the first one merges them."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.inference.caption_diversity import captioned_diversity, print_warnings
from mmtx_cli.inference.caption_plan import FOLDER, Plan, check_plan, make_plan
from mmtx_cli.inference.explained.captions import Explainer, explanation_path, report_explained
from mmtx_cli.inference.inputs import NO_TOKENIZER, InputReader, piece_fields
from mmtx_cli.inference.output_lines import NOT_FINITE, print_outcome, write_quarantine
from mmtx_cli.inference.sidecar import check_template, without_caption, write_sidecar
from mmtx_cli.inference.subtitles import write_subtitles
from mmtx_cli.io.atomic import atomic_write, write_json
from mmtx_cli.io.jsonl import json_line
from mmtx_cli.io.quoting import quoted
from mmtx_cli.runs.run_config import CaptionConfig
from mmtx_cli.runs.run_dir import open_run


def caption(run: CaptionConfig, paths: Sequence[str]) -> None:
    """Caption the files and write one JSON line for each, in their order, also after a kill.

    The processes share the parts of the plan; the first one merges their lines.
    """
    from mmtx_cli.distributed.launch import launch

    check_template(run.template)
    wanted = without_caption(paths, run.sidecar, run.overwrite) if run.sidecar else list(paths)
    if not wanted and not (run.run_dir / FOLDER).exists():
        print(
            f"all {len(paths)} inputs have a caption; overwrite=true replaces them",
            file=sys.stderr,
        )
        return
    process = launch(run.trainer)
    reader = InputReader.of(run)
    found = pieces_of(paths, run, reader)
    check_plan(run, found, process)
    run_dir = open_run(run.plain)
    plan = make_plan(run, found, pieces_of(wanted, run, reader) if run.sidecar else found, process)
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


def pieces_of(paths: Sequence[str], run: CaptionConfig, reader: InputReader) -> list[Any]:
    """Return the files, or the segments of films."""
    from mmtx_cli.data.input_files import all_pieces

    return list(all_pieces(paths, run.segment_seconds, reader.limits))


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
    run: CaptionConfig, process: Any, plan: Plan, reader: InputReader, echo: bool
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
    from mmtx_cli.data.loader import PREFETCH, make_loader
    from mmtx_cli.inference.part_sampler import PartSampler
    from mmtx_cli.inference.predict import load_model
    from mmtx_cli.inference.texts import generated_texts

    model = load_model(run, process.device)
    name = captioning_head(run, model)
    head, data = model.head[name], run.data
    if (tokenizer := reader.tokenizer) is None:
        raise CheckpointError(f"ckpt={run.ckpt}: {NO_TOKENIZER}")
    pieces = plan.pieces
    samples = reader.files(pieces, [str(i) for i in range(len(pieces))], run.text)
    sampler = PartSampler(plan, data.eval_batch_size or data.batch_size)
    # a part is taken when its first batch is loaded: what is loaded ahead, others cannot take
    prefetch = PREFETCH if process.world == 1 else 1
    loader = make_loader(samples, sampler, data.num_workers, prefetch=prefetch)

    def identity(index: str) -> str:
        piece = pieces[int(index)]
        return f"{Path(piece.path).name} {piece.start}"

    def part_of(index: str) -> int:
        return int(index) // plan.size

    batches = generated_texts(
        model, name, loader, process, run.trainer.precision, run.seed, identity, part_of, plan
    )
    explainer = Explainer.of(run, model, name, reader, pieces)
    for number, part in groupby(batches, key=lambda found: part_of(found[0].ids[0])):
        rows = []
        for batch, outputs in part:
            if explainer is not None:
                explainer.write(batch, outputs)
            for row in batch_rows(batch, head.predictions(outputs, tokenizer), pieces, run, head):
                if echo:
                    print(json_line(row), flush=True)
                rows.append(row)
        yield number, rows


def captioning_head(run: CaptionConfig, model: Any) -> str:
    """Return the name of the head that generates texts.

    Raises:
        ConfigError: if the model cannot caption files.
    """
    from mmtx_cli.data.text.columns import TEXT_TARGETS

    heads = [name for name, head in model.head.items() if {*TEXT_TARGETS} & {*head.targets}]
    if not heads or not {"image", "video", "audio"} & set(model.encoder):
        raise ConfigError(
            f"ckpt={run.ckpt}: this model cannot caption files (heads: {', '.join(model.head)}; "
            f"encoders: {', '.join(model.encoder)}); fine-tune it with head=captioning, or use "
            "`mmtx predict` instead of `mmtx caption` for the predictions of its heads"
        )
    return heads[0]


def batch_rows(
    batch: Any,
    texts: Sequence[dict[str, Any]],
    pieces: Sequence[Any],
    run: CaptionConfig,
    head: Any,
) -> Iterator[dict[str, Any]]:
    """Yield the row of each input of a batch.

    Args:
        batch: The batch.
        texts: The predictions of the head.
        pieces: All inputs.
        run: The settings.
        head: The head.
    """
    errors = {fault["id"]: fault["reason"] for fault in batch.read_errors}
    for i, text in zip(batch.ids, texts, strict=True):
        row = piece_fields(pieces[int(i)]) | ({"text": run.text} if run.text else {})
        if i in errors:
            yield row | {"error": errors[i]}
        elif not math.isfinite(text["score"]):
            yield row | {"error": NOT_FINITE}
        else:
            found = {"caption": templated(text.pop(head.output_key), run.template), **text}
            if others := text.get("alternatives"):
                found["alternatives"] = [
                    {"caption": templated(other.pop(head.output_key), run.template), **other}
                    for other in others
                ]
            if path := explanation_path(run, int(i), pieces[int(i)].path):
                found["explanation"] = path
            yield row | found


def templated(caption: str, template: str | None) -> str:
    """Return a caption with the text around it."""
    return template.replace("{caption}", caption) if template else caption


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
