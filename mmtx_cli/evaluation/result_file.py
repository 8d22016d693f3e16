"""Output files of an evaluation: ``result.json``, ``predictions.jsonl`` and the report."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from mmtx_cli.inference.output_lines import sample_fields
from mmtx_cli.io.atomic import atomic_write, write_json
from mmtx_cli.io.jsonl import finite, json_line
from mmtx_cli.runs.precomputed_features import feature_widths
from mmtx_cli.runs.run_config import EvalConfig


def write_result(
    run: EvalConfig, results: Mapping[str, Any], extra: Mapping[str, Any], seconds: float
) -> None:
    """Write ``result.json``, ``predictions.jsonl`` and the report; print the metrics and the path.

    Args:
        run: The settings.
        results: Samples, rows and scores by head.
        extra: Further entries of ``result.json``, including ``baselines`` and ``diversity``.
        seconds: Duration of the evaluation.
    """
    from mmtx_cli.evaluation.baseline_result import unbeaten
    from mmtx_cli.inference.caption_diversity import print_warnings
    from mmtx_cli.report.html import write_report
    from mmtx_cli.report.terminal import print_metrics
    from mmtx_cli.runs.profile import peak_memory

    figures: dict[str, Any] = {"metrics": {}, "intervals": {}}
    for name, (_, _, scores) in results.items():
        add_figures(figures, name, scores, run)
    lines = prediction_lines(run, results)
    path = run.run_dir / "predictions.jsonl"
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for line in lines.values():
            file.write(json_line(finite(line)) + "\n")
    result = {
        "command": "eval",
        "split": run.split,
        **figures,
        "groups": group_metrics(results),
        **extra,
        "unbeaten": unbeaten(extra["baselines"], figures["metrics"], figures["intervals"]),
        "count": len(lines),
        "seconds": round(seconds, 3),
        "peak_memory_mb": peak_memory(),
    }
    write_json(run.run_dir / "result.json", result)
    write_report(run.run_dir)
    print_metrics(result)
    print_warnings(result["diversity"])
    print(run.run_dir)


def group_metrics(results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the number of samples and the metrics of each group of samples."""
    groups: dict[str, dict[str, Any]] = {}
    for name, (samples, _, scores) in results.items():
        for group in sorted({s.group for s in samples if s.group}):
            chosen = np.array([i for i, s in enumerate(samples) if s.group == group])
            part = groups.setdefault(group, {"count": len(chosen), "metrics": {}})
            figures = scores.subset(chosen).metrics()
            part["metrics"] |= {f"{name}/{k}": v for k, v in figures.items() if np.isfinite(v)}
    return groups


def prediction_lines(run: EvalConfig, results: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the lines of ``predictions.jsonl`` by sample id: its inputs and a row of each head."""
    given = [name for name in run.encoder if name not in run.drop_modalities]
    vectors = [name for name in feature_widths(run.encoder) if name in given]
    text = run.data.text or "text"
    texts = {own.name: own.text for own in run.data.mixture or () if own.text}
    lines: dict[str, dict[str, Any]] = {}
    for name, (samples, rows, scores) in results.items():
        for i, (sample, row) in enumerate(zip(samples, rows, strict=True)):
            own = {k: float(x[i]) for k, x in scores.per_sample.items() if np.isfinite(x[i])}
            row["scores"] = own | row.get("scores", {})
            read = texts.get(sample.corpus, text)
            lines.setdefault(sample.id, sample_fields(sample, given, read, vectors))[name] = row
    return lines


def add_figures(part: dict[str, Any], head: str, scores: Any, run: EvalConfig) -> None:
    """Add a head's metrics and their intervals to ``part``.

    Args:
        part: ``metrics`` and ``intervals``, modified in place.
        head: Name of the head.
        scores: Scores of the head.
        run: The settings: ``bootstrap`` and ``seed``.
    """
    part["metrics"] |= {f"{head}/{k}": v for k, v in scores.metrics().items()}
    found = scores.intervals(resamples=run.bootstrap, seed=run.seed)
    part["intervals"] |= {f"{head}/{k}": v for k, v in found.items()}
