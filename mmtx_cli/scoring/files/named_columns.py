"""The columns that the user names: ``prediction_columns`` and ``reference_columns``."""

from collections.abc import Mapping
from typing import Any

from mmtx_cli.data.manifest.table_file import MAX_COLUMNS
from mmtx_cli.scoring.files.layout import FIELDS
from mmtx_cli.suggest import suggest


def named_columns(value: Any) -> dict[str, str | int]:
    """Return the column by field, as the user named them; nothing where there are none."""
    return {} if value is None else {str(name): column for name, column in value.items()}


def column_faults(key: str, value: Any) -> list[str]:
    """Return the faults of a mapping of fields to columns, the value of ``key``."""
    if value is None:
        return []
    if not isinstance(value, Mapping):
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
        if not (
            (isinstance(column, str) and column)
            or (type(column) is int and 0 < column <= MAX_COLUMNS)
        )
    ]
