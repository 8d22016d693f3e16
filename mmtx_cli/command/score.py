"""``mmtx score``: metrics of captions of any tool, without a model of mmtx."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mmtx_cli.config.unknown_keys import check_known_keys
from mmtx_cli.errors import ConfigError
from mmtx_cli.metric.tokenizer.split import TOKENIZERS
from mmtx_cli.scoring.families import FAMILIES
from mmtx_cli.scoring.files.named_columns import column_faults, named_columns
from mmtx_cli.scoring.neural.settings import neural_settings
from mmtx_cli.scoring.run import score
from mmtx_cli.scoring.settings import ScoreSettings
from mmtx_cli.suggest import suggest

_COLUMNS = ("prediction_columns", "reference_columns")
_LANGUAGE = re.compile("[a-z]{2,3}(-[A-Za-z0-9]{2,8})*")
_LEAST = {"bootstrap": 1, "seed": 0, "permutations": 1, "gallery": 0}
_EXAMPLE = {"bootstrap": 1000, "seed": 1, "permutations": 10_000, "gallery": 12}


def run(cfg: DictConfig) -> None:
    """Score ``predictions`` against ``references``, and write a run folder.

    It has ``result.json``, ``scores.jsonl`` and ``report.html``; its path is the last line on
    standard output.

    Raises:
        ConfigError: if a key is missing or invalid.
        DataError: with all errors of the files; nothing is written.
    """
    score(_settings(cfg), OmegaConf.to_container(cfg, resolve=True))  # type: ignore[arg-type]


def _settings(cfg: DictConfig) -> ScoreSettings:
    """Return the settings; raise ConfigError if a file is missing, or a key or value invalid."""
    check_known_keys(cfg, "score")
    numbers = {key: cfg.get(key) for key in _LEAST}
    metrics = _texts(cfg, "metrics")
    plain: Any = OmegaConf.to_container(cfg)
    neural, more = neural_settings(plain, metrics)
    if faults := [
        *_faults(cfg, plain),
        *_number_faults(numbers),
        *_metric_faults(metrics),
        *more,
    ]:
        raise ConfigError(*faults)
    return ScoreSettings(
        _paths(cfg, "references"),
        _paths(cfg, "predictions"),
        _text(cfg, "split"),
        metrics,
        numbers["bootstrap"],
        numbers["seed"],
        numbers["permutations"],
        numbers["gallery"],
        images=_path(cfg, "images"),
        prediction_columns=named_columns(plain.get("prediction_columns")),
        reference_columns=named_columns(plain.get("reference_columns")),
        language=_text(cfg, "language"),
        tokenizer=_text(cfg, "tokenizer"),
        systems=_texts(cfg, "systems"),
        training=_path(cfg, "training"),
        training_split=_text(cfg, "training_split"),
        ratings=_path(cfg, "ratings"),
        rating_columns=_texts(cfg, "rating_columns"),
        neural=neural,
        meteor_data=_path(cfg, "meteor_data"),
    )


def _faults(cfg: DictConfig, plain: Mapping[str, Any]) -> list[str]:
    """Return the faults of files, columns, language, tokenizer and names of systems."""
    faults = []
    if not cfg.get("predictions") and not cfg.get("ratings"):
        faults.append(
            "predictions: required; set predictions=FILE (captions of any tool: COCO results, JSON "
            "Lines, CSV, TSV or a caption a line)"
        )
    faults += [fault for key in _COLUMNS for fault in column_faults(key, plain.get(key))]
    language, tokenizer = cfg.get("language"), cfg.get("tokenizer")
    if language is not None and not _LANGUAGE.fullmatch(str(language)):
        faults.append(f"language={language}: must be a code such as en, zh or ja")
    if tokenizer is not None and str(tokenizer) not in TOKENIZERS:
        near = suggest(str(tokenizer), TOKENIZERS, full=True)
        faults.append(f"tokenizer={tokenizer}: is not a tokenizer; {near}")
    faults += _system_faults(_texts(cfg, "predictions"), cfg.get("systems"))
    return faults + _training_faults(cfg) + _unused(cfg)


def _texts(cfg: DictConfig, key: str) -> tuple[str, ...]:
    """Return the texts of a key that takes one, several or none."""
    value: Any = cfg.get(key)
    if value is None or value == "":
        return ()
    return tuple(map(str, value if OmegaConf.is_list(value) else [value]))


def _text(cfg: DictConfig, key: str) -> str | None:
    """Return a text, also one that looks like a number, such as ``split=2017``."""
    return str(cfg[key]) if cfg.get(key) is not None else None


def _paths(cfg: DictConfig, key: str) -> tuple[Path, ...]:
    return tuple(map(Path, _texts(cfg, key)))


def _path(cfg: DictConfig, key: str) -> Path | None:
    return Path(str(cfg[key])) if cfg.get(key) is not None else None


def _number_faults(numbers: Mapping[str, Any]) -> list[str]:
    return [
        f"{key}={value}: must be an integer of at least {_LEAST[key]}, e.g. {key}={_EXAMPLE[key]}"
        for key, value in numbers.items()
        if type(value) is not int or value < _LEAST[key]
    ]


def _metric_faults(metrics: tuple[str, ...]) -> list[str]:
    if not metrics:
        return [f"metrics: is empty; choose from {', '.join(FAMILIES)}"]
    return [
        f"metrics: {name} is not a metric; {suggest(name, FAMILIES)}"
        for name in metrics
        if name not in FAMILIES
    ]


def _system_faults(predictions: tuple[str, ...], value: Any) -> list[str]:
    systems = [] if value in (None, "") else value if OmegaConf.is_list(value) else [value]
    names = {str(name).strip() for name in systems if name is not None} - {""}
    if not systems or (len(systems) == len(predictions) == len(names)):
        return []
    return [
        f"systems: {len(systems)} names for {len(predictions)} files of predictions; give each "
        "file one name of its own"
    ]


def _training_faults(cfg: DictConfig) -> list[str]:
    """Return the fault of training captions that are the references, so that none is novel."""
    training = cfg.get("training")
    if training is None:
        return []
    same = {os.path.realpath(path) for path in _texts(cfg, "references")}
    if cfg.get("training_split") or os.path.realpath(str(training)) not in same:
        return []
    return [f"training={training}: these are the references, too; set training_split=train"]


def _unused(cfg: DictConfig) -> list[str]:
    """Return the faults of keys that would change nothing, because another one is missing."""
    metrics = _texts(cfg, "metrics")
    needed = (
        ("training", "properties" in metrics, "metrics=[…,properties], which has the share"),
        ("training_split", bool(cfg.get("training")), "training=FILE"),
        ("rating_columns", bool(cfg.get("ratings")), "ratings=FILE"),
        ("meteor_data", "meteor" in metrics, "metrics=[…,meteor]"),
    )
    return [
        f"{key}={cfg[key]}: changes nothing without {what}"
        for key, has_effect, what in needed
        if cfg.get(key) and not has_effect
    ]
