"""Read the files of a run folder as plain Python; a missing file counts as empty."""

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mmtx_cli.io.untrusted.bounded_file import MAX_DOCUMENT_BYTES, check_document, read_bytes

Row = dict[str, Any]


@dataclass
class RunFolder:
    """The files of one run folder; ``faults`` lists those that could not be parsed."""

    path: Path
    result: Row = field(default_factory=dict)
    metrics: list[Row] = field(default_factory=list)
    predictions: list[Row] = field(default_factory=list)
    captions: list[Row] = field(default_factory=list)
    quarantine: list[Row] = field(default_factory=list)
    environment: Row = field(default_factory=dict)
    attributes: Row = field(default_factory=dict)
    config: str = ""
    when: str = ""
    faults: list[str] = field(default_factory=list)


def read_run_folder(path: Path) -> RunFolder:
    """Read a run folder. Damaged files and lines are skipped and listed in ``faults``."""
    run = RunFolder(path)
    if not path.is_dir():
        run.faults.append(f"folder not found: {path}")
        return run
    run.result = _read(run, "result.json", _json_object, {})
    run.metrics = _read(run, "metrics.csv", _csv_rows, [])
    run.predictions = _read_lines(run, "predictions.jsonl")
    run.captions = _read_lines(run, "captions.jsonl")
    run.quarantine = _read_lines(run, "quarantine.jsonl")
    run.environment = _read(run, "environment.json", _json_object, {})
    run.attributes = _read(run, "attributes.json", _json_object, {})
    run.config = _read(run, "config.yaml", str, "")
    run.when = _when(path)
    return run


def _read(run: RunFolder, name: str, parse: Callable[[str], Any], default: Any) -> Any:
    """Parse one file, or return ``default`` if it is missing or damaged."""
    path = run.path / name
    if not path.is_file():
        return default
    try:
        data = read_bytes(path, MAX_DOCUMENT_BYTES)
        check_document(data)
        text = data.decode(errors="replace")
        return parse(text.replace("\r\n", "\n"))
    except (OSError, ValueError, RecursionError, csv.Error) as error:
        run.faults.append(f"{name} could not be read: {error}")
        return default


def _read_lines(run: RunFolder, name: str) -> list[Row]:
    """Parse a JSON Lines file; lines that are not objects are skipped and counted."""
    rows: list[Row] = []
    damaged: list[int] = []
    # Not str.splitlines: it also splits at U+2028 and others, which JSON may hold unescaped.
    for number, line in enumerate(_read(run, name, lambda text: text.split("\n"), []), start=1):
        if not line.strip():
            continue
        try:
            rows.append(_json_object(line))
        except (ValueError, RecursionError):
            damaged.append(number)
    if damaged:
        run.faults.append(f"{name}:{damaged[0]}: not a JSON object ({len(damaged)} such lines)")
    return rows


def _json_object(text: str) -> Row:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value


def _csv_rows(text: str) -> list[Row]:
    return [
        {name: cell for name, cell in row.items() if name and cell}
        for row in csv.DictReader(text.splitlines())
    ]


def _when(path: Path) -> str:
    """Return when the results were written, by file time: regenerating a report keeps it."""
    names = ("result.json", "captions.jsonl", "metrics.csv", "config.yaml")
    found = [path / name for name in names if (path / name).is_file()]
    if not found:
        return ""
    return datetime.fromtimestamp(found[0].stat().st_mtime, UTC).strftime("%Y-%m-%d %H:%M UTC")
