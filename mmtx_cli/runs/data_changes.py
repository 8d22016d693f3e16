"""Detect changes to a run's data between its last checkpoint and its resumption."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import Any

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.derived import stored_value
from mmtx_cli.data.manifest.table.facts import of_split
from mmtx_cli.data.manifest.table.samples import SampleTable
from mmtx_cli.data.shards.state import shard_state
from mmtx_cli.errors import DataError
from mmtx_cli.media.shard.reference import split_reference
from mmtx_cli.runs.table_digests import files_of, paths_of, table_digests

SPLITS = ("train", "val")
"""Splits that training reads."""
FIELDS = ("text", "captions", "label")
REMEDY = (
    "restore the data, or set allow_changed_data=true to continue with the changed data (the "
    "result will differ from that of an uninterrupted run)"
)


def row_digests(samples: Sequence[Sample]) -> dict[str, dict[str, Any]]:
    """Return the number of rows and the digests of their contents, by split.

    ``order`` is a digest of the ids in their order; all others are over the rows sorted by id, to
    distinguish the kinds of changes. Paths are relative to the common folder of all files, so that
    the data may be moved. ``shards`` is a digest of the contents of tar shards, None without any.
    """
    parts = {split: of_split(samples, split) for split in SPLITS}
    return {
        split: {
            **stored_value(rows, "digests", None, partial(_digests, rows)),
            "shards": _shard_digest(rows),
        }
        for split, rows in parts.items()
    }


def check_data_unchanged(
    stored: Mapping[str, Any], current: Mapping[str, Any], where: object, allowed: bool
) -> None:
    """Raise DataError naming what changed in each split if the rows differ from the checkpoint's.

    Args:
        stored: The digests in the checkpoint; empty if an older version of mmtx wrote it.
        current: The digests of the current rows.
        where: The manifest, for the message.
        allowed: Whether changes are permitted (``allow_changed_data``).
    """
    faults = [f"{where}: {fault}" for s in SPLITS for fault in _changes(s, stored, current)]
    if faults and stored and not allowed:
        raise DataError(*faults[:-1], f"{faults[-1]}; {REMEDY}")


def _changes(split: str, stored: Mapping[str, Any], current: Mapping[str, Any]) -> Iterator[str]:
    old, new = stored.get(split) or {}, current[split]
    since = "since the run was stopped"
    if old.get("rows") != new["rows"]:
        yield f"{new['rows']:,} rows of split {split}, previously {old.get('rows', 0):,}"
    elif old["ids"] != new["ids"]:
        yield f"ids of rows in split {split} changed {since}"
    else:
        if old["order"] != new["order"]:
            yield f"order of rows in split {split} changed {since}"
        for name in ("files", "shards", "answers", *FIELDS):
            if old.get(name) != new.get(name):
                yield f"{name} of split {split} changed {since}"


def _digests(rows: Sequence[Sample]) -> dict[str, Any]:
    if isinstance(rows, SampleTable):
        return table_digests(rows)
    ordered = sorted(rows, key=lambda row: (row.corpus, row.id))
    folder = os.path.commonpath([path for row in rows for path in paths_of(row)] or ["/"])

    return {
        "rows": len(rows),
        "order": _digest((row.corpus, row.id) for row in rows),
        "ids": _digest((row.corpus, row.id) for row in ordered),
        "files": _digest(files_of(row, folder) for row in ordered),
        "answers": _digest(sorted(row.answers.items()) for row in ordered),
        **{name: _digest(getattr(row, name) for row in ordered) for name in FIELDS},
    }


def _shard_digest(rows: Sequence[Sample]) -> str | None:
    """Return a digest of the states of the shards that rows refer into, None without any."""
    shards = stored_value(rows, "shards", None, partial(_shards, rows))
    if not shards:
        return None
    folder = os.path.commonpath([os.path.dirname(path) for path in shards])
    return _digest((os.path.relpath(path, folder), shard_state(path)) for path in shards)


def _shards(rows: Sequence[Sample]) -> list[str]:
    found = {parts[0] for row in rows for path in paths_of(row) if (parts := split_reference(path))}
    return sorted(found)


def _digest(values: Iterable[object]) -> str:
    digest = blake2b(digest_size=16)
    for value in values:
        digest.update(repr(value).encode("utf-8", "surrogatepass") + b"\n")
    return digest.hexdigest()
