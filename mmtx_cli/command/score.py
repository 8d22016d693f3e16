"""``mmtx score``: caption metrics of a file of predictions, without a model."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.unknown_keys import check_known_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import atomic_write, write_json
from mmtx_cli.io.jsonl import finite, json_line
from mmtx_cli.metric.scores import Scores
from mmtx_cli.metric.tokenizer.split import TOKENIZERS
from mmtx_cli.report.terminal import print_metrics
from mmtx_cli.runs.run_dir import open_run
from mmtx_cli.scoring.families import FAMILIES, measure
from mmtx_cli.scoring.files.layout import FIELDS
from mmtx_cli.scoring.files.load import load
from mmtx_cli.scoring.settings import ScoreSettings
from mmtx_cli.suggest import suggest

_COLUMNS = ("prediction_columns", "reference_columns")
_LANGUAGE = re.compile("[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")


def run(cfg: DictConfig) -> None:
    """Score ``predictions`` against ``references``; write ``result.json`` and ``scores.jsonl``.

    The folder's path is the last line on standard output.

    Raises:
        ConfigError: if a key is missing or invalid.
        DataError: with all errors of the two files; nothing is written.
    """
    start = time.perf_counter()
    settings = _settings(cfg)
    loaded = load(settings)
    (captions,) = loaded.systems
    families = {name: measure(name, captions, settings) for name in settings.metrics}
    scores = Scores.merged(*(family.scores for family in families.values()))
    run_dir = open_run(OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]
    result = _result(scores, cfg)
    result["files"], result["notes"] = loaded.files, [*loaded.notes]
    result["parameters"] = {name: family.parameters for name, family in families.items()}
    _write_rows(run_dir / "scores.jsonl", captions.ids, scores)
    result["seconds"] = round(time.perf_counter() - start, 3)
    write_json(run_dir / "result.json", result)
    print("\n".join(loaded.lines()))
    print_metrics(result)
    for note in loaded.notes:
        print(f"note: {note}")
    print(run_dir)


def _settings(cfg: DictConfig) -> ScoreSettings:
    """Return the settings; raise ConfigError if a file is missing, or a key or value invalid."""
    check_known_keys(cfg, "score")
    faults = []
    if not cfg.get("predictions"):
        faults.append(
            "predictions: required; set predictions=FILE (captions of any tool: COCO results, JSON "
            "Lines, CSV, TSV or a caption a line)"
        )
    for key, least in (("bootstrap", 1), ("seed", 0)):
        value = cfg.get(key)
        if type(value) is not int or value < least:
            faults.append(f"{key}={value}: must be an integer of at least {least}, e.g. {key}=1000")
    metrics = cfg.metrics if OmegaConf.is_list(cfg.metrics) else [cfg.metrics]
    for name in metrics:
        if name not in FAMILIES:
            faults.append(f"metrics: {name} is not a metric; {suggest(str(name), FAMILIES)}")
    faults += [fault for key in _COLUMNS for fault in _column_faults(key, cfg.get(key))]
    language, tokenizer = cfg.get("language"), cfg.get("tokenizer")
    if language is not None and not _LANGUAGE.fullmatch(str(language)):
        faults.append(f"language={language}: must be a code such as en, zh or ja")
    if tokenizer is not None and str(tokenizer) not in TOKENIZERS:
        near = suggest(str(tokenizer), TOKENIZERS, full=True)
        faults.append(f"tokenizer={tokenizer}: is not a tokenizer; {near}")
    if faults:
        raise ConfigError(*faults)
    return ScoreSettings(
        _paths(cfg.get("references")),
        (Path(cfg.predictions),),
        cfg.get("split"),
        tuple(metrics),
        cfg.bootstrap,
        cfg.seed,
        Path(cfg.images) if cfg.get("images") is not None else None,
        _columns(cfg.get("prediction_columns")),
        _columns(cfg.get("reference_columns")),
        language,
        None if tokenizer is None else str(tokenizer),
        Path(cfg.meteor_data) if cfg.get("meteor_data") else None,
    )


def _paths(value: Any) -> tuple[Path, ...]:
    """Return the files of a key that takes one, several or none."""
    if value is None or value == "":
        return ()
    return tuple(Path(str(path)) for path in (value if OmegaConf.is_list(value) else [value]))


def _columns(value: Any) -> dict[str, str | int]:
    return {} if value is None else {str(name): column for name, column in value.items()}


def _column_faults(key: str, value: Any) -> list[str]:
    """Return the faults of a mapping of fields to columns."""
    if value is None:
        return []
    if not OmegaConf.is_dict(value):
        return [
            f"{key}={value}: must map fields to columns, '{key}={{id: file, caption: comment}}'"
        ]
    faults = [
        f"{key}.{name}: unknown field; {suggest(str(name), FIELDS, full=True)}"
        for name in value
        if name not in FIELDS
    ]
    if len({type(column) is int for column in value.values()}) > 1:
        faults.append(f"{key}={value}: use names, or numbers if the table has no header")
    return faults + [
        f"{key}.{name}={column}: must be the name of a column, or its number from 1"
        for name, column in value.items()
        if not ((isinstance(column, str) and column) or (type(column) is int and column > 0))
    ]


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
