"""What a run of a comparison did: its figures a sample, and what it cost."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

from mmtx_cli.errors import DataError
from mmtx_cli.io.untrusted_file import RefusedFileError, read_json, read_record

COSTS = ("parameters", "flops_per_sample", "train_seconds", "samples_per_second", "peak_memory_mb")
SAMPLED = {"mae": "error"}
"""What the value of a single sample is called, where it is not called as the metric is."""


@dataclass(frozen=True)
class Measured:
    """One trained and evaluated run."""

    metrics: dict[str, float]
    samples: dict[str, dict[str, dict[str, float]]]
    """Head to sample id to the values of its metrics."""
    cost: dict[str, float | None]

    def values(self, metric: str) -> dict[str, float]:
        """Sample id to its value; empty for a metric that no single sample has."""
        head, _, name = metric.partition("/")
        wanted = SAMPLED.get(name, name)
        found = self.samples.get(head, {})
        return {i: scores[wanted] for i, scores in found.items() if wanted in scores}


def measured(folder: Path, evaluated: Path) -> Measured:
    """Read a run folder, and the folder of its evaluation."""
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
        raise DataError(f"{path}: not the result of a run; train or evaluate it again")
    return result


def per_sample(path: Path) -> dict[str, dict[str, dict[str, float]]]:
    """The scores of every sample, by head."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    with open(path, encoding="utf-8") as file:
        for row in map(json.loads, file):
            for head, said in row.items():
                if isinstance(said, dict) and isinstance(said.get("scores"), dict):
                    found.setdefault(head, {})[row["id"]] = said["scores"]
    return found


def throughput(path: Path) -> float | None:
    """Median of the logged samples a second while training."""
    if not path.is_file():
        return None
    rows = csv.DictReader(io.StringIO(read_record(path), newline=""))
    logged = [row.get("items_per_second") for row in rows]
    numbers = [float(value) for value in logged if value]
    return median(numbers) if numbers else None
