"""What a run of a comparison did: its settings, its figures a sample, and what it cost."""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from mmtx_cli.error import DataError

COSTS = ("parameters", "flops_per_sample", "train_seconds", "samples_per_second", "peak_memory_mb")
SAMPLED = {"mae": "error"}
"""What the value of a single sample is called, where it is not called as the metric is."""
NO_CHOICE = ("seed", "run_dir", "resume", "trusted_packages", "logger", "command")


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
        result["metrics"],
        per_sample(evaluated / "predictions.jsonl"),
        {name: cost.get(name) for name in COSTS},
    )


def settings_of(folder: Path) -> dict[str, Any]:
    """The configuration of a run, by dotted keys.

    Raises:
        DataError: if the run is not finished.
    """
    if not (folder / "result.json").is_file():
        raise DataError(f"{folder}: no finished run; wait for its end, or go on by resume=true")
    return dict(flat(yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))))


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


def flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and plain values of a configuration."""
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node


def group_names(settings: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each run is called: the choices in which the runs differ, but for the seed.

    Of a component that differs (``fusion._target_``), its other keys count only among the runs
    that have the same.
    """
    kept = [
        {key: value for key, value in run.items() if key.split(".")[0] not in NO_CHOICE}
        # which checkpoint a run began with may go by its seed; that it had one is a choice
        | {"ckpt": "given" if run.get("ckpt") else None}
        for run in settings
    ]
    chosen = [key for key in varying(kept) if key.endswith("._target_")]
    names = []
    for run in kept:
        parts = [f"{path_of(key)}={module(run.get(key))}" for key in chosen]
        like = [other for other in kept if all(other.get(key) == run.get(key) for key in chosen)]
        inside = tuple(key.removesuffix("_target_") for key in chosen)
        parts += [
            f"{key}={run.get(key)}"
            for key in varying(kept)
            if not key.startswith(inside) or (key not in chosen and key in varying(like))
        ]
        names.append(" ".join(parts))
    return names


def varying(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keys that not all runs have the same value of, in their order."""
    keys = dict.fromkeys(key for run in runs for key in run)
    return [key for key in keys if len({repr(run.get(key)) for run in runs}) > 1]


def path_of(key: str) -> str:
    """A component's place as it is written on the command line."""
    return key.removesuffix("._target_").replace("encoder.", "encoder/")


def module(target: Any) -> str:
    """The name of a choice: the module that its class is in."""
    return str(target).split(".")[-2] if target else "null"
