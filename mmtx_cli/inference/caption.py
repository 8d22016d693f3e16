"""Caption files: the processes share the parts of a plan, and the first one merges them."""

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.inference.caption_diversity import captioned_diversity, print_warnings
from mmtx_cli.inference.caption_plan import FOLDER, Plan, check_plan, make_plan
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
    from mmtx_cli.inference.explained.captions import Explainer
    from mmtx_cli.inference.part_sampler import PartSampler
    from mmtx_cli.inference.predict import load_model
    from mmtx_cli.inference.texts import generated_texts

    model = load_model(run, process.device)
    name = captioning_head(run.ckpt, model)
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
        return identity_of(pieces[int(index)])

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
            texts = head.predictions(outputs, tokenizer)
            for row in run_rows(batch, texts, pieces, head, run):
                if echo:
                    print(json_line(row), flush=True)
                rows.append(row)
        yield number, rows


def run_rows(
    batch: Any,
    texts: Sequence[dict[str, Any]],
    pieces: Sequence[Any],
    head: Any,
    run: CaptionConfig,
) -> Iterator[dict[str, Any]]:
    """Yield the row of each input of a batch, with the path of its explanation.

    Args:
        batch: The batch, whose ids are indices of the inputs.
        texts: The predictions of the head.
        pieces: All inputs.
        head: The head.
        run: The settings.
    """
    from mmtx_cli.inference.explained.captions import explanation_path

    rows = batch_rows(batch, texts, pieces, head, run.text, run.template)
    for i, row in zip(map(int, batch.ids), rows, strict=True):
        path = explanation_path(run, i, pieces[i].path)
        yield row | ({"explanation": path} if path and "caption" in row else {})


def identity_of(piece: Any) -> str:
    """Return what seeds the random numbers of an input: the name of the file, and its segment."""
    name = Path(piece.path).name if hasattr(piece, "path") else piece.name
    return f"{name} {piece.start}"


def captioning_head(ckpt: str | None, model: Any) -> str:
    """Return the name of the head that generates texts; ``ckpt`` is for messages.

    Raises:
        ConfigError: if the model cannot caption files.
    """
    from mmtx_cli.data.text.columns import TEXT_TARGETS

    heads = [name for name, head in model.head.items() if {*TEXT_TARGETS} & {*head.targets}]
    if not heads or not {"image", "video", "audio"} & set(model.encoder):
        raise ConfigError(
            f"ckpt={ckpt}: this model cannot caption files (heads: {', '.join(model.head)}; "
            f"encoders: {', '.join(model.encoder)}); fine-tune it with head=captioning, or use "
            "`mmtx predict` instead of `mmtx caption` for the predictions of its heads"
        )
    return heads[0]


def batch_rows(
    batch: Any,
    texts: Sequence[dict[str, Any]],
    pieces: Sequence[Any],
    head: Any,
    text: str | None,
    template: str | None = None,
) -> Iterator[dict[str, Any]]:
    """Yield the row of each input of a batch.

    Args:
        batch: The batch, whose ids are indices of the inputs.
        texts: The predictions of the head.
        pieces: All inputs.
        head: The head.
        text: Text that the model has read with every input.
        template: Text around the captions.
    """
    errors = {fault["id"]: fault["reason"] for fault in batch.read_errors}
    for i, found in zip(batch.ids, texts, strict=True):
        row = piece_fields(pieces[int(i)]) | ({"text": text} if text else {})
        if i in errors:
            yield row | {"error": errors[i]}
        elif not math.isfinite(found["score"]):
            yield row | {"error": NOT_FINITE}
        else:
            caption = captioned(found, head.output_key, template)
            if others := found.get("alternatives"):
                caption["alternatives"] = [
                    captioned(other, head.output_key, template) for other in others
                ]
            yield row | caption


def captioned(found: Mapping[str, Any], key: str, template: str | None) -> dict[str, Any]:
    """Return a prediction with its text as ``caption``, with the text around it.

    Args:
        found: The prediction.
        key: The key of its text.
        template: The text around it.
    """
    caption = template.replace("{caption}", found[key]) if template else found[key]
    return {"caption": caption, **{name: x for name, x in found.items() if name != key}}


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
