"""``mmtx score``: read, join, measure, compare, write."""

import gc
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.atomic import atomic_write, write_json
from mmtx_cli.io.jsonl import json_line
from mmtx_cli.metric.scores import Metrics, Scores
from mmtx_cli.metric.systems.compared import differences
from mmtx_cli.report.caption_scores.page import write_scores_page
from mmtx_cli.report.caption_scores.terminal import print_scores
from mmtx_cli.runs.run_dir import check_not_trained, open_run
from mmtx_cli.scoring import result as content
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import Measured, measure
from mmtx_cli.scoring.files.load import Loaded
from mmtx_cli.scoring.gallery import galleries
from mmtx_cli.scoring.properties import training_captions
from mmtx_cli.scoring.ratings.rated import Rated
from mmtx_cli.scoring.ratings.read import read_rated
from mmtx_cli.scoring.settings import ScoreSettings
from mmtx_cli.scoring.systems import read_systems

_FILES = ("scores.jsonl", "differences.jsonl", "report.html")
"""Files in a run folder, beside ``result.json``, that may be of the user or of another run."""


def score(settings: ScoreSettings, plain: Mapping[str, Any]) -> Path:
    """Score captions, write the run folder, print the result, and return the folder.

    Args:
        settings: The settings.
        plain: The configuration that the run folder records.

    Raises:
        ConfigError: if the run folder has results, or files of these names.
        DataError: with all errors of the files; nothing is written.
    """
    start = time.perf_counter()
    # what is loaded by now and the captions stay until the end: there is no garbage to look for
    gc.disable()
    try:
        material = _read(settings)
    finally:
        gc.freeze()
        gc.enable()
    _check_unused(plain)
    systems, rated = material.systems, material.rated
    measured = {
        name: {family: measure(family, captions, settings) for family in settings.metrics}
        for name, captions in systems.items()
    }
    scores = {name: _merged(families) for name, families in measured.items()}
    run_dir = open_run(plain)
    result = _result(settings, systems, measured, scores)
    result["files"] = material.files
    result["notes"] = [*material.notes, *content.notes_of(measured)]
    if rated is not None:
        result["ratings"] = content.of_ratings(
            settings.ratings, rated, scores, settings.bootstrap, settings.seed
        )
    _write_lines(run_dir / "scores.jsonl", content.rows(systems, scores, rated))
    metric = content.ranking_metric(scores)
    if metric is not None and len(systems) > 1:
        pairs = [(part["a"], part["b"]) for part in result["pairs"]]
        found = (
            row for a, b in pairs for row in content.most_different(a, b, metric, systems, scores)
        )
        _write_lines(run_dir / "differences.jsonl", found)
    result["seconds"] = round(time.perf_counter() - start, 3)
    write_json(run_dir / "result.json", result)
    per_sample = {name: own.per_sample for name, own in scores.items()}
    page = write_scores_page(
        run_dir, result, per_sample, galleries(metric, systems, scores, settings.gallery), metric
    )
    if material.loaded is not None:
        print("\n".join(material.loaded.lines()))
    print_scores(result)
    print(f"report: {page}")
    print(run_dir)
    return run_dir


def _check_unused(plain: Mapping[str, Any]) -> None:
    """Raise ConfigError if the run folder has a file that would be replaced."""
    check_not_trained(plain)
    run_dir = Path(plain["run_dir"])
    if found := next((name for name in _FILES if os.path.lexists(run_dir / name)), None):
        raise ConfigError(
            f"run_dir={run_dir}: already contains {found}, which would be replaced; use another "
            "folder"
        )


@dataclass(frozen=True)
class _Material:
    """The captions by system, their ratings, and what the files contain."""

    systems: dict[str, Captions]
    rated: Rated | None
    loaded: Loaded | None

    @property
    def files(self) -> list[dict[str, Any]]:
        return self.loaded.files if self.loaded else []

    @property
    def notes(self) -> tuple[str, ...]:
        return (self.loaded.notes if self.loaded else ()) + (self.rated.notes if self.rated else ())


def _read(settings: ScoreSettings) -> _Material:
    """Return everything that is scored; raise DataError with all errors of the files."""
    faults: list[str] = []
    material = None
    try:
        if settings.ratings is not None:
            rated = read_rated(settings)
            material = _Material(rated.systems, rated, rated.loaded)
        else:
            systems, loaded = read_systems(settings)
            material = _Material(systems, None, loaded)
    except DataError as error:
        faults += error.faults
    try:
        if settings.training is not None:
            training_captions(settings)
    except DataError as error:
        faults += error.faults
    if material is None or faults:
        raise DataError(*faults)
    return material


def _merged(families: Mapping[str, Measured]) -> Scores:
    return Scores.merged(*(family.scores for family in families.values()))


def _result(
    settings: ScoreSettings,
    systems: Mapping[str, Captions],
    measured: Mapping[str, Mapping[str, Measured]],
    scores: Mapping[str, Scores],
) -> dict[str, Any]:
    """Return the metrics of each system, and the differences of each pair."""
    whole: dict[str, dict[str, float]] = {
        name: {key: value for family in own.values() for key, value in family.whole.items()}
        for name, own in measured.items()
    }
    # the same seed gives the same resamples, so that differences are paired
    resampled: dict[str, Metrics] = {
        name: own.resampled(settings.bootstrap, settings.seed) for name, own in scores.items()
    }
    parts = {
        name: content.of_system(own, whole[name], resampled[name]) for name, own in scores.items()
    }
    first_name, first = next(iter(measured.items()))
    result: dict[str, Any] = {"command": "score", "count": len(systems[first_name])}
    if len(systems) == 1:
        result |= parts[first_name]
    else:
        result["systems"] = parts
        found = differences(scores, resampled, whole, settings.permutations, settings.seed)
        result["pairs"] = content.of_differences(found)
    people = {key: value for family in first.values() for key, value in family.people.items()}
    if people:
        named = {content.named(key): value for key, value in people.items()}
        result["first_references"] = {"metrics": named}
    result["parameters"], own_parameters = content.of_parameters(measured)
    for name, own in own_parameters.items():
        parts[name]["parameters"] = own
    return result


def _write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for row in rows:
            file.write(json_line(row) + "\n")
