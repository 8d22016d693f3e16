"""Caption files: every process writes its share, and the first process merges them."""

import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mmtx_cli.errors import CheckpointError, ConfigError
from mmtx_cli.inference.caption_diversity import captioned_diversity, print_warnings
from mmtx_cli.inference.inputs import NO_TOKENIZER, InputReader, piece_fields
from mmtx_cli.inference.output_lines import NOT_FINITE, print_outcome, write_quarantine
from mmtx_cli.inference.subtitles import write_subtitles
from mmtx_cli.io.atomic import atomic_write, open_new, write_json
from mmtx_cli.io.file_errors import writing
from mmtx_cli.io.jsonl import json_line
from mmtx_cli.runs.run_config import CaptionConfig
from mmtx_cli.runs.run_dir import open_run


def caption(run: CaptionConfig, paths: Sequence[str]) -> None:
    """Write one JSON line per file or video segment as batches finish; rank 0 merges them."""
    from mmtx_cli.distributed.launch import launch

    process = launch(run.trainer)
    run_dir = open_run(run.plain)
    share = run_dir / f".captions-{process.rank}.jsonl"
    single = process.world == 1
    with open_new(share) as file:
        for index, row in caption_rows(run, process, paths):
            line = json_line(row)
            with writing(share):
                file.write(f"{index}\t{line}\n")
                file.flush()
            if single:
                print(line, flush=True)
    process.barrier()
    if process.is_first:
        heads = [node for node in run.head.values() if node]
        answers = any(node.get("target") == "answers" for node in heads)
        finish(run_dir, process.world, echo=not single, answers=answers)


def caption_rows(
    run: CaptionConfig, process: Any, paths: Sequence[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield (index of the segment, its row) for this process's share, in order.

    Args:
        run: The settings.
        process: This process.
        paths: Files to caption.

    Raises:
        ConfigError: if the model cannot caption files.
        CheckpointError: if its tokenizer is missing.
    """
    from mmtx_cli.data.input_files import all_pieces
    from mmtx_cli.data.loader import EvaluationSampler, make_loader
    from mmtx_cli.data.text.columns import TEXT_TARGETS
    from mmtx_cli.inference.predict import load_model
    from mmtx_cli.inference.texts import generated_texts

    model = load_model(run, process.device)
    heads = [name for name, head in model.head.items() if {*TEXT_TARGETS} & {*head.targets}]
    if not heads or not {"image", "video", "audio"} & set(model.encoder):
        raise ConfigError(
            f"ckpt={run.ckpt}: this model cannot caption files (heads: {', '.join(model.head)}; "
            f"encoders: {', '.join(model.encoder)}); fine-tune it with head=captioning, or use "
            "`mmtx predict` instead of `mmtx caption` for the predictions of its heads"
        )
    data = run.data
    reader = InputReader.of(run)
    if (tokenizer := reader.tokenizer) is None:
        raise CheckpointError(f"ckpt={run.ckpt}: {NO_TOKENIZER}")
    pieces = list(all_pieces(paths, run.segment_seconds, reader.limits))
    indices = range(process.rank, len(pieces), process.world)
    samples = reader.files([pieces[i] for i in indices], [str(i) for i in indices], run.text)
    sampler = EvaluationSampler(samples, data.eval_batch_size or data.batch_size)
    loader = make_loader(samples, sampler, data.num_workers)
    precision, head = run.trainer.precision, model.head[heads[0]]

    def identity(index: str) -> str:
        piece = pieces[int(index)]
        return f"{Path(piece.path).name} {piece.start}"

    for batch, outputs in generated_texts(
        model, heads[0], loader, process, precision, run.seed, identity
    ):
        errors = {fault["id"]: fault["reason"] for fault in batch.read_errors}
        rows = head.predictions(outputs, tokenizer)
        for i, text in zip(batch.ids, rows, strict=True):
            row = piece_fields(pieces[int(i)]) | ({"text": run.text} if run.text else {})
            if i in errors:
                row["error"] = errors[i]
            elif not math.isfinite(text["score"]):
                row["error"] = NOT_FINITE
            else:
                row |= {"caption": text.pop(str(head.output_key)), **text}
            yield int(i), row


def finish(run_dir: Path, world: int, echo: bool, answers: bool = False) -> None:
    """Merge the shares into ``captions.jsonl``; list unreadable files in ``quarantine.jsonl``.

    Args:
        run_dir: The run folder, with the shares.
        world: The number of processes.
        echo: Whether to print the lines.
        answers: Whether the texts answer a question; repeats are then expected.
    """
    rows: dict[int, str] = {}
    for rank in range(world):
        share = run_dir / f".captions-{rank}.jsonl"
        with open(share, encoding="utf-8", newline="\n") as file:  # names may contain line breaks
            for text in file:
                index, _, line = text.rstrip("\n").partition("\t")
                rows[int(index)] = line
        share.unlink()
    lines = [rows[i] for i in sorted(rows)]
    with atomic_write(run_dir / "captions.jsonl") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if echo:
        print("\n".join(lines))
    parsed = [json.loads(line) for line in lines]
    write_quarantine(run_dir, parsed)
    subtitles = write_subtitles(run_dir / "subtitles", parsed)
    if subtitles:
        print(f"{len(subtitles)} subtitle files in {run_dir / 'subtitles'}", file=sys.stderr)
    if not answers:
        report_diversity(run_dir, parsed)
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
