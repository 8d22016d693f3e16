"""Output files of an evaluation: ``result.json``, ``predictions.jsonl`` and the report."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from mmtx_cli.inference.output_lines import described
from mmtx_cli.io.atomic import replaced, write_json
from mmtx_cli.io.jsonl import finite, json_line
from mmtx_cli.runs.precomputed_features import feature_widths


def write_result(
    cfg: DictConfig,
    run_dir: Path,
    results: Mapping[str, Any],
    extra: Mapping[str, Any],
    seconds: float,
) -> None:
    """Write ``result.json``, ``predictions.jsonl`` and the report; print the metrics and the path.

    Args:
        cfg: The configuration.
        run_dir: The run folder.
        results: Samples, rows and scores by head.
        extra: Further entries of ``result.json``, including ``baselines`` and ``diversity``.
        seconds: Duration of the evaluation.
    """
    from mmtx_cli.evaluation.baseline_result import unbeaten
    from mmtx_cli.inference.caption_diversity import print_warnings
    from mmtx_cli.report.html import write_report
    from mmtx_cli.report.terminal import print_figures
    from mmtx_cli.runs.profile import peak_memory

    metrics: dict[str, float] = {}
    intervals: dict[str, tuple[float, float]] = {}
    groups: dict[str, dict[str, Any]] = {}
    rows: dict[str, dict[str, Any]] = {}
    given = [name for name, node in cfg.encoder.items() if node and name not in cfg.drop_modalities]
    vectors = [name for name in feature_widths(cfg.encoder) if name in given]
    text = cfg.data.get("text") or "text"
    texts = {own.name: own.text for own in cfg.data.get("mixture") or () if own.get("text")}
    for name, (samples, head_rows, scores) in results.items():
        add_figures({"metrics": metrics, "intervals": intervals}, name, scores, cfg)
        for group in sorted({s.group for s in samples if s.group}):
            chosen = np.array([i for i, s in enumerate(samples) if s.group == group])
            part = groups.setdefault(group, {"count": len(chosen), "metrics": {}})
            figures = scores.subset(chosen).figures()
            told = {f"{name}/{k}": v for k, v in figures.items() if np.isfinite(v)}
            part["metrics"] |= told
        for i, (sample, row) in enumerate(zip(samples, head_rows, strict=True)):
            own = {k: float(x[i]) for k, x in scores.per_sample.items() if np.isfinite(x[i])}
            row["scores"] = own | row.get("scores", {})
            rows.setdefault(
                sample.id, described(sample, given, texts.get(sample.corpus, text), vectors)
            )[name] = row
    path = run_dir / "predictions.jsonl"
    with replaced(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for line in rows.values():
            file.write(json_line(finite(line)) + "\n")
    result = {
        "command": "eval",
        "split": cfg.split,
        "metrics": metrics,
        "intervals": intervals,
        "groups": groups,
        **extra,
        "unbeaten": unbeaten(extra["baselines"], metrics, intervals),
        "count": len(rows),
        "seconds": round(seconds, 3),
        "peak_memory_mb": peak_memory(),
    }
    write_json(run_dir / "result.json", result)
    write_report(run_dir)
    print_figures(result)
    print_warnings(result["diversity"])
    print(run_dir)


def add_figures(part: dict[str, Any], head: str, scores: Any, cfg: DictConfig) -> None:
    """Add a head's metrics and their intervals to ``part``.

    Args:
        part: ``metrics`` and ``intervals``, modified in place.
        head: Name of the head.
        scores: Scores of the head.
        cfg: The configuration: ``bootstrap`` and ``seed``.
    """
    part["metrics"] |= {f"{head}/{k}": v for k, v in scores.figures().items()}
    found = scores.intervals(resamples=cfg.bootstrap, seed=cfg.seed)
    part["intervals"] |= {f"{head}/{k}": v for k, v in found.items()}
