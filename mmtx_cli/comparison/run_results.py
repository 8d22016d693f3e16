"""Results of the runs in a comparison: metrics, per-sample values and costs."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from math import nan
from pathlib import Path
from statistics import fmean, median
from typing import Any

from mmtx_cli.comparison.run_groups import Group, group_runs
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, read_json, read_record
from mmtx_cli.metric.direction import headlines, metric_of
from mmtx_cli.runs.stored_settings import settings_of
from mmtx_cli.suggest import suggest

COSTS = ("parameters", "flops_per_sample", "train_seconds", "samples_per_second", "peak_memory_mb")


@dataclass(frozen=True)
class Measured:
    """The results of a trained and evaluated run."""

    metrics: dict[str, float]
    samples: dict[str, dict[str, dict[str, float]]]
    """Per-sample values by head, sample id and metric."""
    cost: dict[str, float | None]

    def values(self, metric: str) -> dict[str, float]:
        """Return the value of each sample by id; empty if the metric has no per-sample values."""
        head, _, name = metric.partition("/")
        known = metric_of(metric)
        key = known.per_sample if known and known.per_sample else name
        found = self.samples.get(head, {})
        return {i: scores[key] for i, scores in found.items() if key in scores}


def read_results(folder: Path, evaluated: Path) -> Measured:
    """Read the results of a run folder and of the folder of its evaluation.

    Raises DataError if a ``result.json`` cannot be read.
    """
    trained, result = _result(folder), _result(evaluated)
    cost = {**result.get("cost", {}), "train_seconds": trained.get("seconds")}
    cost |= {"peak_memory_mb": trained.get("peak_memory_mb")}
    cost |= {"samples_per_second": throughput(folder / "metrics.csv")}
    return Measured(
        {name: nan if x is None else x for name, x in result["metrics"].items()},
        per_sample(evaluated / "predictions.jsonl"),
        {name: cost.get(name) for name in COSTS},
    )


def _result(folder: Path) -> Mapping[str, Any]:
    path = folder / "result.json"
    try:
        result = read_json(path)
    except (OSError, RefusedFileError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    if not isinstance(result, dict):
        raise DataError(f"{path}: not a run result; train or evaluate the run again")
    return result


def per_sample(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """Return the scores of every sample, by head and sample id."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    with open(path, encoding="utf-8") as file:
        for row in map(json.loads, file):
            for head, output in row.items():
                if isinstance(output, dict) and isinstance(output.get("scores"), dict):
                    found.setdefault(head, {})[row["id"]] = output["scores"]
    return found


def throughput(path: Path) -> float | None:
    """Return the median of the logged training throughput in samples per second, if any."""
    if not path.is_file():
        return None
    rows = csv.DictReader(io.StringIO(read_record(path), newline=""))
    logged = [row.get("items_per_second") for row in rows]
    numbers = [float(value) for value in logged if value]
    return median(numbers) if numbers else None


def find_runs(patterns: Sequence[str]) -> list[Path]:
    """Return the run folders that match the patterns, in order and without duplicates.

    Raises ConfigError if a pattern matches no run folder.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        paths = sorted(glob(os.path.expanduser(pattern)))
        folders = [Path(path) for path in paths if (Path(path) / "config.yaml").is_file()]
        if not folders:
            raise ConfigError(f"runs: {pattern}: run folder not found")
        found |= dict.fromkeys(folders)
    return [*found]


def groups_of(folders: Sequence[Path]) -> list[Group]:
    """Return the group of each run. Runs that differ only in their seed share a group.

    Raises:
        ConfigError: If there is only one run.
    """
    if len(folders) < 2:
        raise ConfigError("runs: a comparison needs at least 2 runs")
    return group_runs([settings_of(folder) for folder in folders])


def select_metric(runs: Sequence[Measured], requested: str | None) -> str:
    """Return ``requested``; if it is None, the headline metric of the first head that has one.

    Raises ConfigError if not every run has it.
    """
    shared = [name for name in runs[0].metrics if all(name in r.metrics for r in runs)]
    if requested is None:
        if not shared:
            raise ConfigError("runs: no metric is common to all runs")
        return next(iter(headlines(shared).values()), shared[0])
    if requested not in shared:
        raise ConfigError(
            f"metric={requested}: not available in every run; {suggest(requested, shared)}"
        )
    return requested


def select_baseline(groups: Sequence[Group], requested: str | None) -> Group:
    """Return the group with this name, this setting or this value of a setting.

    ``fusion=concat`` and ``concat`` both select ``fusion=concat``. The default is the first group.
    Raises ConfigError if no group matches, or several do.
    """
    by_name = {group.name: group for group in groups}
    if requested is None:
        return groups[0]
    if requested in by_name:
        return by_name[requested]
    found = [
        group
        for group in by_name.values()
        if any(requested in (value, f"{key}={value}") for key, value in group.settings.items())
    ]
    if len(found) != 1:
        fault = "unknown; choose one of" if not found else "ambiguous; choose one of"
        raise ConfigError(f"baseline={requested}: {fault} {'; '.join(by_name)}")
    return found[0]


def mean_cost(group: Sequence[Measured]) -> dict[str, float | None]:
    """Return the mean of each cost over the runs; None if it is unknown for any of them."""
    costs: dict[str, float | None] = {}
    for name in COSTS:
        known = [value for run in group if (value := run.cost[name]) is not None]
        costs[name] = fmean(known) if len(known) == len(group) else None
    return costs
