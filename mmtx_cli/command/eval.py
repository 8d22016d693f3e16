"""``mmtx eval``: metrics with intervals, predictions for every id, and the report."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from mmtx_cli.check import check
from mmtx_cli.command.inherit import inherit
from mmtx_cli.command.run_folder import open_run, write_json
from mmtx_cli.command.train import preparation_of, sections
from mmtx_cli.data.table import check_exists
from mmtx_cli.error import ConfigError, DataError
from mmtx_cli.settings import DataSettings
from mmtx_cli.weights import read_config


def run(cfg: DictConfig) -> None:
    """Evaluate a trained model on a split."""
    if not cfg.ckpt:
        raise ConfigError("ckpt: required; write ckpt=RUN (a run folder, .ckpt or model folder)")
    stored = read_config(cfg.ckpt)
    inherit(cfg, stored)
    inherit_data(cfg, stored)
    check(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    if cfg.data.path:
        check_exists(Path(cfg.data.path))  # told before torch is imported
    evaluate(cfg, stored)


def inherit_data(cfg: DictConfig, stored: Mapping[str, Any]) -> None:
    """Evaluate on the data it was trained on, unless other data are named."""
    if cfg.data.get("path") is None:
        names = {field.name for field in fields(DataSettings)}
        for key, value in stored["data"].items():
            if key in names and cfg.data.get(key) is None:
                cfg.data[key] = value


def evaluate(cfg: DictConfig, stored: Mapping[str, Any]) -> None:
    """Predict in every process; merge, score and report in the first."""
    from mmtx_cli.build import build_data, usable
    from mmtx_cli.command.floor import caption_floors
    from mmtx_cli.command.trained import Outputs, by_sample, load_model, merge, predict
    from mmtx_cli.data.loader import make_loader
    from mmtx_cli.data.quarantine import Quarantine
    from mmtx_cli.training.launch import launch

    begun = time.perf_counter()
    settings = sections(cfg)
    data = settings["data"]
    corpus = build_data(data, preparation_of(cfg, data), cfg.seed, stored, cfg.encoder.get("text"))
    rows = corpus.rows(cfg.split)
    if not rows:
        raise DataError(f"{corpus.manifest.path}: no row has split={cfg.split}")
    process = launch(settings["trainer"])
    run_dir = open_run(cfg)
    model = load_model(cfg, process.device)
    quarantine = Quarantine(run_dir / "quarantine.jsonl", len(rows), data.max_bad_fraction)
    modalities = [name for name in model.encoder if name not in cfg.drop]
    subsets = subsets_of(modalities) if cfg.missing == "all" else [modalities]
    mine: Outputs = {answer_key(name, ()): [] for name in model.head}
    unread: set[str] = set()
    samples = corpus.samples(rows, list(model.encoder), ())
    for heads, sampler, few in passes(model, samples, data, process, subsets):
        loader = make_loader(samples, sampler, data.num_workers)
        precision = settings["trainer"].precision
        for batch, answers in predict(model, heads, loader, process, precision, few):
            quarantine.add(batch.faults)
            unread |= {fault["id"] for fault in batch.faults}
            for kept, outputs in zip(few, answers, strict=True):
                for name, output in outputs.items():
                    key = answer_key(name, () if kept == modalities else kept)
                    mine.setdefault(key, []).extend(zip(batch.ids, by_sample(output), strict=True))
    mine["unread"] = [(i, {}) for i in sorted(unread)]
    every = merge(mine, process, run_dir)
    if not process.is_first:
        return
    unread = {i for i, _ in every.pop("unread")}
    read = [row for row in rows if row.id not in unread]
    results: dict[str, Any] = {}
    partial: dict[str, Any] = {}
    for name, head in model.head.items():
        scored = usable(read, head.needs, corpus.manifest)
        results[name] = (scored, *score(head, every[name], scored, corpus.tokenizer))
        for few in subsets:
            said = every.get(answer_key(name, () if few == modalities else few))
            if len(subsets) > 1 and said and not head.scores_every_text:
                _, scores = score(head, said, scored, corpus.tokenizer)
                figures = partial.setdefault(" + ".join(few), {"metrics": {}, "intervals": {}})
                add_figures(figures, name, scores, cfg)
    size = data.eval_batch_size or data.batch_size
    floors = caption_floors(model, corpus, read, size, process.device) if cfg.floors else {}
    write_result(cfg, run_dir, results, partial, floors, time.perf_counter() - begun)


def subsets_of(modalities: Sequence[str]) -> list[list[str]]:
    """Every subset that is not empty: all of them first, single ones last."""
    sizes = range(len(modalities), 0, -1)
    return [list(few) for size in sizes for few in combinations(modalities, size)]


def answer_key(head: str, kept: Sequence[str]) -> str:
    """Where the answers of a head are kept: on all modalities (none named), or on some alone."""
    return "/".join([head, *kept])


def passes(
    model: Any, samples: Any, data: Any, process: Any, subsets: Sequence[Sequence[str]]
) -> Iterator[tuple[list[str], Any, Sequence[Sequence[str]]]]:
    """(heads, order, subsets of the modalities): every sample once for all heads; then its
    further texts for the heads that score them.
    """
    from mmtx_cli.data.loader import EvaluationSampler, FurtherTexts

    whole = EvaluationSampler(
        samples, data.eval_batch_size or data.batch_size, process.rank, process.world
    )
    yield list(model.head), whole, subsets
    heads = [name for name, head in model.head.items() if head.scores_every_text]
    if heads and "text" in samples.columns:
        yield heads, FurtherTexts(samples, whole), subsets[:1]


def score(
    head: Any, outputs: Sequence[tuple[str, Any]], samples: Sequence[Any], tokenizer: Any
) -> tuple[Any, Any]:
    """Rows and scores of one head, its outputs put in the order of the samples."""
    by_id: dict[str, list[Any]] = {}
    for i, output in outputs:
        by_id.setdefault(i, []).append(output)
    pairs = [(sample, by_id[sample.id]) for sample in samples]
    evaluation = head.evaluate([outs for _, outs in pairs], list(samples), tokenizer)
    return evaluation.rows, evaluation.scores


def write_result(
    cfg: DictConfig,
    run_dir: Path,
    results: Mapping[str, Any],
    partial: Mapping[str, Any],
    floors: Any,
    seconds: float,
) -> None:
    """``result.json``, ``predictions.jsonl``, the report; a table and the folder's path."""
    from mmtx_cli.command.figures import print_figures
    from mmtx_cli.report.html import write_report

    metrics: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    groups: dict[str, dict[str, Any]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name, (samples, head_rows, scores) in results.items():
        add_figures({"metrics": metrics, "intervals": intervals}, name, scores, cfg)
        for group in sorted({s.group for s in samples if s.group}):
            chosen = np.array([i for i, s in enumerate(samples) if s.group == group])
            part = groups.setdefault(group, {"count": len(chosen), "metrics": {}})
            figures = scores.subset(chosen).figures()
            part["metrics"] |= {f"{name}/{k}": v for k, v in figures.items()}
        for sample, row in zip(samples, head_rows, strict=True):
            rows.setdefault(sample.id, described(sample, cfg.encoder))[name] = row
    with open(run_dir / "predictions.jsonl", "w", encoding="utf-8") as file:
        for line in rows.values():
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
    result = {
        "command": "eval",
        "split": cfg.split,
        "metrics": metrics,
        "intervals": intervals,
        "groups": groups,
        "subsets": partial,
        "baselines": floors,
        "count": len(rows),
        "seconds": round(seconds, 3),
    }
    write_json(run_dir / "result.json", result)
    write_report(run_dir)
    print_figures(result)
    print(run_dir)


def add_figures(part: dict[str, Any], head: str, scores: Any, cfg: DictConfig) -> None:
    """Put a head's figures and their intervals beside the other heads'."""
    part["metrics"] |= {f"{head}/{k}": v for k, v in scores.figures().items()}
    found = scores.intervals(resamples=cfg.bootstrap, seed=cfg.seed)
    part["intervals"] |= {f"{head}/{k}": v for k, v in found.items()}


def described(sample: Any, encoders: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of predictions.jsonl needs to know of a sample: what the model was given."""
    inputs = {
        "image": list(sample.image),
        "video": sample.video,
        "audio": sample.audio,
        "text": sample.text,
    }
    given = {name: x for name, x in inputs.items() if x and encoders.get(name)}
    row = {"id": sample.id, "inputs": given}
    return row | ({"group": sample.group} if sample.group else {})
