"""Rows of tables that contain the bytes of their media, packed into tar shards."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mmtx_cli.config.help.components import format_value
from mmtx_cli.data.importer.found import Found
from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.paths import example_of, split_of_rows
from mmtx_cli.data.importer.staging import Staging
from mmtx_cli.data.manifest.row_parser import parse_split
from mmtx_cli.data.shards.plan import Packed
from mmtx_cli.data.shards.sample_files import Contents, suffix_of
from mmtx_cli.data.shards.stream import ShardStream
from mmtx_cli.data.shards.tar_writer import Source, of_bytes
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.suggest import suggest

FIELDS = ("id", "image", "video", "audio", "caption", "text", "label", "split", "group")
"""Fields that ``columns`` may assign."""
MEDIA = ("image", "video", "audio")
NAMES = {"captions": "caption", "images": "image", "sentence": "caption", "class": "label"}
"""Further column names that are recognized."""
MEGABYTE = 10**6
_MAGIC = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"BM": ".bmp",
    b"fLaC": ".flac",
    b"OggS": ".ogg",
    b"ID3": ".mp3",
    b"\x1aE\xdf\xa3": ".mkv",
}

LocatedRow = tuple[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Table:
    """Rows with their places, the columns they have, and class names of numbered columns."""

    rows: Iterator[LocatedRow]
    columns: Sequence[str]
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)
    split: str | None = None


def packed_rows(tables: Sequence[Table], settings: Settings) -> Found:
    """Return the manifest rows of the tables, whose media are packed into OUT_shards.

    Raises:
        ConfigError: if ``columns`` or ``shard_size`` is invalid.
        DataError: at a row that cannot be used.
    """
    out, size = Path(settings["out"]), settings["shard_size"]
    if type(size) not in (int, float) or not size > 0:
        raise ConfigError(f"shard_size={size}: must be MB above 0, e.g. shard_size=512")
    staging = Staging(out.with_name(f"{out.stem}_shards"))
    split = split_of_rows(settings)
    fields = [fields_of(table, settings) for table in tables]
    stream = ShardStream(staging.folder, round(size * MEGABYTE))
    return Found(stream.rows(_samples(tables, fields, split)), [str(staging.final)], staging)


def fields_of(table: Table, settings: Settings) -> dict[str, str]:
    """Return the column of each field: as set, else by name."""
    chosen = settings["columns"]
    if chosen is None:
        found = {NAMES.get(name.lower(), name.lower()): name for name in reversed(table.columns)}
        chosen = {name: found[name] for name in FIELDS if name in found}
    if not isinstance(chosen, dict) or not set(chosen) <= set(FIELDS):
        raise ConfigError(
            f"columns={format_value(chosen)}: must map {', '.join(FIELDS)} to columns"
            f"{example_of(settings)}"
        )
    for name, column in chosen.items():
        if column not in table.columns:
            near = suggest(str(column), list(table.columns))
            raise ConfigError(f"columns.{name}={column}: unknown column; {near}")
    if not set(chosen) & set(MEDIA):
        raise ConfigError(
            f"no column of images, videos or audio among {', '.join(table.columns)}; set columns="
            f"{example_of(settings)}"
        )
    return {name: str(column) for name, column in chosen.items()}


def _samples(
    tables: Sequence[Table],
    fields: Sequence[Mapping[str, str]],
    split: str | Callable[[str], str] | None,
) -> Iterator[tuple[str, Packed]]:
    number = 0
    for table, columns in zip(tables, fields, strict=True):
        for place, row in table.rows:
            key = f"{number:09d}"
            try:
                yield place, _sample(key, row, columns, table, split)
            except ValueError as error:
                raise DataError(f"{place}: {error}") from error
            number += 1


def _sample(
    key: str,
    row: Mapping[str, Any],
    columns: Mapping[str, str],
    table: Table,
    split: str | Callable[[str], str] | None,
) -> Packed:
    values = {name: row.get(column) for name, column in columns.items()}
    ident = key if values.get("id") in (None, "") else str(values["id"])
    own = values.get("split") or table.split
    faults: list[str] = []
    own = parse_split(own, faults) if own else own
    if faults:
        raise ValueError(faults[0])
    drawn = split(ident) if callable(split) else split
    new: dict[str, Any] = {"id": ident, "split": own or drawn}
    if not new["split"]:
        raise ValueError("no split; set split=train, or ratios")
    caption = values.get("caption")
    if caption not in (None, "", []):
        new["captions"] = [caption] if isinstance(caption, str) else list(caption)
    names = table.class_names.get(columns.get("label", ""))
    if (label := values.get("label")) is not None:
        new["label"] = _label(label, names)
    new |= {name: values[name] for name in ("text", "group") if values.get(name)}
    images = values.get("image")
    several = images if isinstance(images, list) else [images]
    contents = Contents(
        [file for value in several if (file := _file("image", value)) is not None],
        _file("video", values.get("video")),
        _file("audio", values.get("audio")),
    )
    return Packed(key, new, contents)


def _label(label: Any, names: Sequence[str] | None) -> Any:
    if isinstance(label, list):
        return [_label(value, names) for value in label]
    if names is not None and type(label) is int:
        if not 0 <= label < len(names):
            raise ValueError(f"label {label} has no name; there are {len(names)}")
        return names[label]
    return label


def _file(name: str, value: Any) -> tuple[str, Source] | None:
    """Return a medium's bytes, and an identity that ends with its suffix."""
    path = ""
    if isinstance(value, Mapping) and "bytes" in value:
        value, path = value["bytes"], str(value.get("path") or "")
        if value is None and path:
            raise ValueError(
                f"{name}: has the path {path}, but no bytes; import a table that contains them"
            )
    if value is None or value == b"":
        return None
    if not isinstance(value, bytes):
        raise ValueError(f"{name}: is {type(value).__name__}, not bytes, or bytes and path")
    suffix = suffix_of(path)
    if suffix == ".bin":
        suffix = _suffix(value)
    return blake2b(value, digest_size=16).hexdigest() + suffix, of_bytes(value)


def _suffix(content: bytes) -> str:
    """Return the suffix of a file by its first bytes."""
    if content[:4] == b"RIFF":
        return {b"WEBP": ".webp", b"WAVE": ".wav", b"AVI ": ".avi"}.get(content[8:12], ".bin")
    if content[4:8] == b"ftyp":
        return ".mp4"
    return next((s for magic, s in _MAGIC.items() if content.startswith(magic)), ".bin")
