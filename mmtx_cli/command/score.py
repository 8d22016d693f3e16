"""``mmtx score``: caption metrics of a file of predictions, without a model."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.unknown_keys import check_known_keys
from mmtx_cli.errors import ConfigError, DataError, listed
from mmtx_cli.io.atomic import atomic_write, write_json
from mmtx_cli.io.jsonl import finite, json_line
from mmtx_cli.metric.caption_file import CaptionFile, read_predictions, read_references
from mmtx_cli.metric.scores import Scores
from mmtx_cli.report.terminal import print_metrics
from mmtx_cli.runs.run_dir import open_run
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.families import FAMILIES, measure
from mmtx_cli.scoring.settings import ScoreSettings
from mmtx_cli.suggest import suggest

_FORMS = {
    "references": 'COCO captions, an mmtx manifest, or JSON lines {"id", "captions": […]}',
    "predictions": 'COCO results, or JSON lines {"id", "caption"}',
}


def run(cfg: DictConfig) -> None:
    """Score ``predictions`` against ``references``; write ``result.json`` and ``scores.jsonl``.

    The folder's path is the last line on standard output.

    Raises:
        ConfigError: if a key is missing or invalid.
        DataError: with all errors of the two files; nothing is written.
    """
    start = time.perf_counter()
    settings = _settings(cfg)
    references = read_references(cfg.references, cfg.get("split"))
    predictions = read_predictions(cfg.predictions)
    faults = (
        references.messages() + predictions.messages() + _unmatched(references, predictions, cfg)
    )
    if faults:
        raise DataError(*faults)
    ids = list(references.captions)
    captions = Captions(
        ids,
        [predictions.captions[name][0] for name in ids],
        list(references.captions.values()),
        [{} for _ in ids],
    )
    families = {name: measure(name, captions, settings) for name in settings.metrics}
    scores = Scores.merged(*(family.scores for family in families.values()))
    run_dir = open_run(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    result = _result(scores, cfg)
    result["parameters"] = {name: family.parameters for name, family in families.items()}
    _write_rows(run_dir / "scores.jsonl", ids, scores)
    result["seconds"] = round(time.perf_counter() - start, 3)
    write_json(run_dir / "result.json", result)
    print_metrics(result)
    print(run_dir)


def _settings(cfg: DictConfig) -> ScoreSettings:
    """Return the settings; raise ConfigError if a file is missing, or a key or value invalid."""
    check_known_keys(cfg, "score")
    faults = [
        f"{key}: required; set {key}=FILE ({form})"
        for key, form in _FORMS.items()
        if not cfg.get(key)
    ]
    for key, least in (("bootstrap", 1), ("seed", 0)):
        value = cfg.get(key)
        if type(value) is not int or value < least:
            faults.append(f"{key}={value}: must be an integer of at least {least}, e.g. {key}=1000")
    metrics = cfg.metrics if OmegaConf.is_list(cfg.metrics) else [cfg.metrics]
    for name in metrics:
        if name not in FAMILIES:
            faults.append(f"metrics: {name} is not a metric; {suggest(str(name), FAMILIES)}")
    if faults:
        raise ConfigError(*faults)
    return ScoreSettings(
        Path(cfg.references),
        (Path(cfg.predictions),),
        cfg.get("split"),
        tuple(metrics),
        cfg.bootstrap,
        cfg.seed,
    )


def _unmatched(references: CaptionFile, predictions: CaptionFile, cfg: DictConfig) -> list[str]:
    """Return an error for predictions without references, and one for the reverse."""
    faults = []
    extra = [name for name in predictions.places if name not in references.places]
    if extra and references.complete:
        faults.append(
            f"{predictions.places[extra[0]]}: {len(extra)} of {len(predictions.places)} "
            f"predictions have no references in {references.path}: {listed(extra)}; "
            "check that both files use the same ids"
        )
    missing = [name for name in references.places if name not in predictions.places]
    if missing and predictions.complete:
        remedy = "predict every id, or remove these"
        if cfg.get("split") is None:
            remedy += " (to select a split of a manifest, set e.g. split=test)"
        faults.append(
            f"{references.places[missing[0]]}: {len(missing)} of {len(references.places)} ids "
            f"have no prediction in {predictions.path}: {listed(missing)}; {remedy}"
        )
    return faults


def _result(scores: Scores, cfg: DictConfig) -> dict[str, Any]:
    intervals = scores.intervals(resamples=cfg.bootstrap, seed=cfg.seed)
    return {
        "command": "score",
        "metrics": {f"caption/{name}": value for name, value in scores.metrics().items()},
        "intervals": {f"caption/{name}": list(bounds) for name, bounds in intervals.items()},
        "count": len(scores),
    }


def _write_rows(path: Path, ids: Sequence[str], scores: Scores) -> None:
    with atomic_write(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for row, name in enumerate(ids):
            values = {metric: float(x[row]) for metric, x in scores.per_sample.items()}
            file.write(json_line(finite({"id": name} | values)) + "\n")
