"""``mmtx caption``: a caption for every picture, video and sound in files, folders and globs; or
the answer to a question about each.
"""

import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from mmtx_cli.check import check
from mmtx_cli.command.inherit import inherit
from mmtx_cli.command.repetition import captioned_diversity, print_warnings
from mmtx_cli.command.run_folder import is_first_process, open_run, write_json
from mmtx_cli.command.subtitle import write_subtitles
from mmtx_cli.command.train import preparation_of, sections
from mmtx_cli.data.suffix import SUFFIXES
from mmtx_cli.error import CheckpointError, ConfigError, DataError
from mmtx_cli.json_line import json_line
from mmtx_cli.storage import writing
from mmtx_cli.weights import read_config, replaced

SHOWN = 5
"""Kinds of files left out that a message names."""


def run(cfg: DictConfig) -> None:
    """Caption the inputs in their order."""
    examples = {
        "ckpt": "ckpt=RUN (a run folder, .ckpt or model folder)",
        "inputs": "inputs=FILE, inputs=FOLDER or inputs='*.mp4'",
    }
    missing = [key for key in examples if cfg[key] in (None, "", [])]
    if missing:
        raise ConfigError(*(f"{key}: required; write {examples[key]}" for key in missing))
    paths = found(cfg.inputs)
    stored = read_config(cfg.ckpt)
    inherit(cfg, stored)
    check(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    caption(cfg, stored, paths)


def found(inputs: Any) -> list[str]:
    """Files that the inputs name; of folders, the media in them and below."""
    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    given = list(inputs) if isinstance(inputs, (list, ListConfig)) else [inputs]
    paths: list[str] = []
    faults: list[str] = []
    for text in map(str, given):
        if "://" in text:
            faults.append(f"inputs: {text} is a URL; download the file and name it")
            continue
        path = Path(os.path.expanduser(text))  # leaves a name that begins with ~ as it is
        if path.is_dir():
            every = sorted(p for p in path.rglob("*") if p.is_file() and not is_hidden(p, path))
            files = [p for p in every if p.suffix.lower() in known]
            tell_left_out(text, [p for p in every if p.suffix.lower() not in known])
            faults += [] if files else [f"inputs: {text}: no image, video or sound in this folder"]
            paths += map(str, files)
        elif has_magic(text) and not path.exists():
            files = [Path(p) for p in sorted(glob(str(path), recursive=True)) if Path(p).is_file()]
            faults += [] if files else [f"inputs: {text}: matches no file"]
            paths += map(str, files)
        else:
            paths.append(str(path))  # one that is not there is told of in its own line
    if faults:
        raise DataError(*faults)
    return paths


def is_hidden(path: Path, folder: Path) -> bool:
    """Does its name, or that of a folder on the way, begin with a dot, as macOS's companions do?"""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def tell_left_out(folder: str, files: Sequence[Path]) -> None:
    """Say how many files of a folder are no media by their names, and name one of each suffix."""
    kinds: dict[str, list[str]] = {}
    for path in files:
        kinds.setdefault(path.suffix, []).append(path.name)
    if kinds and is_first_process():
        most = sorted(kinds.values(), key=len, reverse=True)
        named = [
            names[0] + (f" and {len(names) - 1} like it" if names[1:] else "") for names in most
        ]
        more = ", …" if len(named) > SHOWN else ""
        print(
            f"inputs: {folder}: {len(files)} files left out ({', '.join(named[:SHOWN])}{more}): by "
            "their names no pictures, videos or sounds that can be read; a file that is named "
            "itself is read whatever its suffix",
            file=sys.stderr,
        )


def caption(cfg: DictConfig, stored: dict[str, Any], paths: Sequence[str]) -> None:
    """Write a JSON object a file or piece, as the batches come; the first process merges them."""
    from mmtx_cli.training.launch import launch

    settings = sections(cfg)
    process = launch(settings["trainer"])
    run_dir = open_run(cfg)
    share = run_dir / f".captions-{process.rank}.jsonl"
    only = process.world == 1
    with open(share, "w", encoding="utf-8") as file:
        for index, row in captioned(cfg, stored, settings, process, paths):
            line = json_line(row)
            with writing(share):
                file.write(f"{index}\t{line}\n")
                file.flush()
            if only:
                print(line, flush=True)
    process.barrier()
    if process.is_first:
        heads = [node for node in cfg.head.values() if node]
        answers = any(node.get("says") == "answers" for node in heads)
        finish(run_dir, process.world, echo=not only, answers=answers)


def captioned(
    cfg: DictConfig,
    stored: dict[str, Any],
    settings: dict[str, Any],
    process: Any,
    paths: Sequence[str],
) -> Iterator[tuple[int, dict[str, Any]]]:
    """(number of the piece, its row) in order, of this process' share."""
    from mmtx_cli.command.trained import load_model, predict
    from mmtx_cli.data.inputs import InputFiles, all_pieces
    from mmtx_cli.data.loader import EvaluationSampler, make_loader
    from mmtx_cli.data.text import SAID
    from mmtx_cli.data.tokenizer import Tokenizer
    from mmtx_cli.tokenization import own_tokenizer

    model = load_model(cfg, process.device)
    heads = [name for name, head in model.head.items() if {*SAID} & {*head.needs}]
    if not heads or not {"image", "video", "audio"} & set(model.encoder):
        raise ConfigError(
            f"ckpt={cfg.ckpt}: this model cannot caption files (heads: {', '.join(model.head)}; "
            f"encoders: {', '.join(model.encoder)}); fine-tune it with head=captioning"
        )
    if not stored["tokenizer"]:
        raise CheckpointError(f"ckpt={cfg.ckpt}: it has no tokenizer.json; take the whole folder")
    data, tokenizer = settings["data"], Tokenizer.from_json(stored["tokenizer"])
    every = list(all_pieces(paths, cfg.segments, data.decode_timeout))
    mine = range(process.rank, len(every), process.world)
    samples = InputFiles(
        [every[i] for i in mine],
        [str(i) for i in mine],
        list(model.encoder),
        replace(preparation_of(cfg, data), text="text" if cfg.text else None),
        tokenizer,
        data.decode_timeout,
        cfg.text,
        own_tokenizer(cfg.encoder.get("text") or {}, stored.get("text_tokenizer")),
        data.max_image_pixels,
    )
    sampler = EvaluationSampler(samples, data.eval_batch_size or data.batch_size)
    loader = make_loader(samples, sampler, data.num_workers)
    precision = settings["trainer"].precision
    for batch, (outputs,) in predict(model, heads[:1], loader, process, precision):
        unread = {fault["id"]: fault["reason"] for fault in batch.faults}
        output = outputs[heads[0]]
        for i, tokens, score in zip(batch.ids, output["tokens"], output["score"], strict=True):
            row = described(every[int(i)]) | ({"text": cfg.text} if cfg.text else {})
            if i in unread:
                row["error"] = unread[i]
            else:
                row |= {"caption": tokenizer.decode(tokens.tolist()), "score": float(score)}
            yield int(i), row


def described(piece: Any) -> dict[str, Any]:
    """What a row says of the piece besides its caption: times count from the file's beginning."""
    if piece.start is None:
        return {"path": piece.path}
    times = {"start": piece.start, "end": piece.end, "seconds": piece.end - piece.start}
    return {"path": piece.path, **{name: round(value, 3) for name, value in times.items()}}


def finish(run_dir: Path, world: int, echo: bool, answers: bool = False) -> None:
    """Merge the shares into captions.jsonl; what could not be read goes to quarantine.jsonl.

    Args:
        run_dir: The run folder, with the shares.
        world: The number of processes.
        echo: Whether to print the lines.
        answers: Whether they are answers to a question, which may well repeat.
    """
    rows: dict[int, str] = {}
    for rank in range(world):
        share = run_dir / f".captions-{rank}.jsonl"
        with open(share, encoding="utf-8", newline="\n") as file:  # names may hold other breaks
            for text in file:
                index, _, line = text.rstrip("\n").partition("\t")
                rows[int(index)] = line
        share.unlink()
    lines = [rows[i] for i in sorted(rows)]
    with replaced(run_dir / "captions.jsonl") as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")
    if echo:
        print("\n".join(lines))
    parsed = [json.loads(line) for line in lines]
    bad = [row for row in parsed if "error" in row]
    path = run_dir / "quarantine.jsonl"
    with replaced(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for row in bad:
            fault = {"id": row["path"], "path": row["path"], "reason": row["error"]}
            file.write(json_line(fault) + "\n")
    subtitles = write_subtitles(run_dir / "subtitles", parsed)
    if subtitles:
        print(f"{len(subtitles)} subtitle files in {run_dir / 'subtitles'}", file=sys.stderr)
    if not answers:
        report_diversity(run_dir, parsed)
    print(run_dir)
    if len(bad) == len(lines):
        raise DataError(f"none of the {len(lines)} inputs could be captioned; see {run_dir}")
    if bad:
        print(f"{len(bad)} of {len(lines)} inputs could not be read", file=sys.stderr)


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
