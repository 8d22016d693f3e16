"""What a run of a comparison did: its figures a sample, and what it cost."""

import csv
import json
from dataclasses import dataclass
from math import nan
from pathlib import Path
from statistics import median

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
    trained = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    result = json.loads((evaluated / "result.json").read_text(encoding="utf-8"))
    cost = {**result.get("cost", {}), "train_seconds": trained.get("seconds")}
    cost |= {"peak_memory_mb": trained.get("peak_memory_mb")}
    cost |= {"samples_per_second": throughput(folder / "metrics.csv")}
    return Measured(
        {name: nan if x is None else x for name, x in result["metrics"].items()},
        per_sample(evaluated / "predictions.jsonl"),
        {name: cost.get(name) for name in COSTS},
    )


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
    with open(path, encoding="utf-8", newline="") as file:
        logged = [row.get("items_per_second") for row in csv.DictReader(file)]
    numbers = [float(value) for value in logged if value]
    return median(numbers) if numbers else None
