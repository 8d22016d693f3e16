"""``mmtx eval``: metrics with intervals, predictions for every id, and the report."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from mmtx_cli.check import check
from mmtx_cli.command.inherit import inherit
from mmtx_cli.command.run_folder import open_run, write_json
from mmtx_cli.command.train import sections
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
    from mmtx_cli.data.dataset import Preparation
    from mmtx_cli.data.loader import make_loader
    from mmtx_cli.data.quarantine import Quarantine
    from mmtx_cli.training.launch import launch

    begun = time.perf_counter()
    settings = sections(cfg)
    data = settings["data"]
    preparation = Preparation(cfg.image_size, data.fit, data.text, cfg.max_length)
    corpus = build_data(data, preparation, cfg.seed, stored)
    rows = corpus.rows(cfg.split)
    if not rows:
        raise DataError(f"{corpus.manifest.path}: no row has split={cfg.split}")
    process = launch(settings["trainer"])
    run_dir = open_run(cfg)
    model = load_model(cfg, process.device)
    quarantine = Quarantine(run_dir / "quarantine.jsonl", len(rows), data.max_bad_fraction)
    mine: Outputs = {name: [] for name in model.head}
    unread: set[str] = set()
    samples = corpus.samples(rows, list(model.encoder), ())
    for heads, sampler in passes(model, samples, data, process):
        loader = make_loader(samples, sampler, data.num_workers)
        for batch, outputs in predict(model, heads, loader, process, settings["trainer"].precision):
            quarantine.add(batch.faults)
            unread |= {fault["id"] for fault in batch.faults}
            for name, output in outputs.items():
                mine[name] += zip(batch.ids, by_sample(output), strict=True)
    mine["unread"] = [(i, {}) for i in sorted(unread)]
    every = merge(mine, process, run_dir)
    if not process.is_first:
        return
    unread = {i for i, _ in every.pop("unread")}
    kept = [row for row in rows if row.id not in unread]
    results = {}
    for name, head in model.head.items():
        scored = usable(kept, head.needs, corpus.manifest)
        results[name] = (scored, *score(head, every[name], scored, corpus.tokenizer))
    size = data.eval_batch_size or data.batch_size
    floors = caption_floors(model, corpus, kept, size, process.device) if cfg.floors else {}
    write_result(cfg, run_dir, results, floors, time.perf_counter() - begun)


def passes(model: Any, samples: Any, data: Any, process: Any) -> Iterator[tuple[list[str], Any]]:
    """Every sample once for all heads; then its further texts for the heads that score them."""
    from mmtx_cli.data.loader import EvaluationSampler, FurtherTexts

    whole = EvaluationSampler(
        samples, data.eval_batch_size or data.batch_size, process.rank, process.world
    )
    yield list(model.head), whole
    heads = [name for name, head in model.head.items() if head.scores_every_text]
    if heads and data.text in samples.columns:
        yield heads, FurtherTexts(samples, whole, data.text)


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
    cfg: DictConfig, run_dir: Path, results: Mapping[str, Any], floors: Any, seconds: float
) -> None:
    """``result.json``, ``predictions.jsonl``, the report; a table and the folder's path."""
    from mmtx_cli.command.figures import print_figures
    from mmtx_cli.report.html import write_report

    metrics: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    groups: dict[str, dict[str, Any]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for name, (samples, head_rows, scores) in results.items():
        metrics |= {f"{name}/{k}": v for k, v in scores.figures().items()}
        found = scores.intervals(resamples=cfg.bootstrap, seed=cfg.seed)
        intervals |= {f"{name}/{k}": v for k, v in found.items()}
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
        "baselines": floors,
        "count": len(rows),
        "seconds": round(seconds, 3),
    }
    write_json(run_dir / "result.json", result)
    write_report(run_dir)
    print_figures(result)
    print(run_dir)


def described(sample: Any, encoders: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader of predictions.jsonl needs to know of a sample: what the model was given."""
    inputs = {"image": list(sample.image), "text": sample.text}
    given = {name: x for name, x in inputs.items() if x and encoders.get(name)}
    row = {"id": sample.id, "inputs": given}
    return row | ({"group": sample.group} if sample.group else {})
