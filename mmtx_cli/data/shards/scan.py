"""``mmtx data action=index``: index and manifest of tar shards that other tools wrote."""

import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.importer.paths import split_of_rows
from mmtx_cli.data.manifest.writer import write_manifest
from mmtx_cli.data.shards.tar_writer import shards_in
from mmtx_cli.errors import ConfigError, DataError, truncate
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.jsonl import parsed_json
from mmtx_cli.io.progress import track
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.regular_file import open_file
from mmtx_cli.media.shard.index import INDEX, IndexPart, ShardFacts, index_part, write_index
from mmtx_cli.media.shard.member_file import forget_shards
from mmtx_cli.media.shard.members import Member, members_of
from mmtx_cli.media.shard.reference import join_reference
from mmtx_cli.media.suffixes import SUFFIXES

COLUMNS = ("caption", "text", "label", "group")
MAX_TEXT = 1 << 20
"""Largest text or JSON member that is read, in bytes."""
_PART = 1 << 20
_INFIX = re.compile(r"\.(\d+)\.")


@dataclass
class Scanned:
    """A scanned shard: its index entries, the rows of its samples, and what is wrong with it."""

    part: IndexPart
    rows: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)


def index(settings: Settings) -> Path:
    """Scan the headers of all shards, and write their index and a manifest; return its path.

    Raises:
        ConfigError: if a setting is invalid.
        DataError: with every shard and sample that cannot be used, unless ``bad=skip``.
    """
    folder, out, names = _checked(settings)
    split = split_of_rows({**settings, "importer": "csv"})
    parts, rows, faults = [], [], []
    for name in track(names, len(names), "shards"):
        try:
            scanned = scan_shard(str(folder / name), settings["columns"], settings["checksums"])
        except UnreadableError as error:
            faults.append(str(error))
            continue
        parts.append(scanned.part)
        rows += scanned.rows
        faults += scanned.faults
    if faults and settings["bad"] == "error":
        remedy = "repair the shards, or set bad=skip to use all other samples"
        shown = truncate(faults)
        raise DataError(*shown[:-1], f"{shown[-1]}; {remedy}")
    if not rows:
        raise DataError(f"{folder}: no sample with an image, video or audio in its shards")
    for row in rows:
        row["split"] = split(row["id"]) if callable(split) else split
    with atomic_write(folder / INDEX) as temporary:
        write_index(temporary, parts)
    forget_shards()
    write_manifest(out, rows)
    _list_bad(faults, out)
    print(f"{len(rows):,} samples in {len(parts):,} shards")
    return out


def _checked(settings: Settings) -> tuple[Path, Path, list[str]]:
    """Return the folder, the manifest and the names of the shards."""
    folder, out = Path(settings["source"]), Path(settings["out"])
    if not folder.is_dir():
        raise ConfigError(f"source={folder}: folder not found; use the folder of the .tar files")
    if out.suffix != ".jsonl" or out.resolve().parent != folder.resolve():
        raise ConfigError(
            f"out={out}: must be a .jsonl manifest beside the shards, e.g. "
            f"out={folder / 'data.jsonl'}"
        )
    if settings["bad"] not in ("error", "skip"):
        raise ConfigError(f"bad={settings['bad']}: must be error, or skip to skip bad samples")
    columns = settings["columns"] or {}
    if not isinstance(columns, dict) or not set(columns) <= set(COLUMNS):
        raise ConfigError(
            f"columns={columns}: must map {', '.join(COLUMNS)} to fields of the JSON members, e.g. "
            "'columns={caption: caption}'"
        )
    if settings["split"] is None:
        raise ConfigError("split=null: must be train, val or test, or ratios")
    if not (names := shards_in(folder)):
        raise ConfigError(f"source={folder}: holds no .tar files")
    return folder, out, names


def scan_shard(path: str, columns: Mapping[str, str], checksums: bool = False) -> Scanned:
    """Read the headers of a shard, and the texts of its samples.

    Args:
        path: The shard.
        columns: Fields of the JSON members, by manifest key (``caption`` for captions).
        checksums: Whether to read all contents.

    Raises:
        UnreadableError: if it is not a tar, or damaged.
    """
    faults: list[str] = []
    members = list(members_of(path, faults))
    name = os.path.basename(path)
    with open_file(path) as file:
        status = os.fstat(file.fileno())
        digest, crcs = "", None
        if checksums:
            digest = _digest(file.fileno())
            crcs = [_crc(file.fileno(), member) for member in members]
        facts = ShardFacts(name, status.st_size, len(members), digest, status.st_mtime_ns)
        scanned = Scanned(index_part(facts, members, crcs), [], faults)

        def read(member: Member) -> bytes:
            if member.size > MAX_TEXT:
                raise ValueError(f"larger than {MAX_TEXT:,} bytes")
            return os.pread(file.fileno(), member.size, member.offset)

        for key, group in _samples(members):
            try:
                scanned.rows.append(_row(name, key, group, columns, read))
            except (ValueError, RecursionError) as error:
                faults.append(f"{path}: sample {key!r}: {error}")
    return scanned


def _samples(members: Sequence[Member]) -> Iterator[tuple[str, list[Member]]]:
    """Group members by key: their name up to the first dot of its last part (WebDataset)."""
    groups: dict[str, list[Member]] = {}
    for member in members:
        folder, _, base = member.name.rpartition("/")
        stem = base.partition(".")[0]
        groups.setdefault(f"{folder}/{stem}" if folder else stem, []).append(member)
    yield from groups.items()


def _row(
    shard: str,
    key: str,
    members: Sequence[Member],
    columns: Mapping[str, str],
    read: Callable[[Member], bytes],
) -> dict[str, Any]:
    """Return the manifest row of a sample; raise ValueError if it cannot be used."""
    row: dict[str, Any] = {"id": f"{shard.removesuffix('.tar')}/{key}"}
    images: list[tuple[int, str]] = []
    values: dict[str, Any] = {}
    for member in members:
        suffix = os.path.splitext(member.name)[1].lower()
        reference = join_reference(shard, member.name)
        if member.size == 0:
            raise ValueError(f"member {member.name!r} is empty")
        if suffix in SUFFIXES["image"]:
            infix = _INFIX.search(os.path.basename(member.name))
            images.append((int(infix[1]) if infix else 0, reference))
        elif suffix in (*SUFFIXES["audio"], *SUFFIXES["video"]):
            is_video = suffix in SUFFIXES["video"] and ".audio." not in member.name
            name = "video" if is_video else "audio"
            if name in row:
                raise ValueError(f"has two files of {name}, {member.name!r} is one of them")
            row[name] = reference
        elif suffix == ".txt":
            values["caption"] = read(member).decode("utf-8").strip()
        elif suffix == ".cls":
            values["label"] = read(member).decode("utf-8").strip()
        elif suffix == ".json":
            values = _fields(member, read(member), columns) | values
    if images:
        paths = [reference for _, reference in sorted(images)]
        row["image"] = paths if len(paths) > 1 else paths[0]
    if not row.keys() & {"image", "video", "audio"}:
        raise ValueError("has no image, video or audio")
    captions = values.pop("caption", None)
    if captions:
        row["captions"] = [captions] if isinstance(captions, str) else captions
    return row | {name: value for name, value in values.items() if value not in (None, "")}


def _fields(member: Member, data: bytes, columns: Mapping[str, str]) -> dict[str, Any]:
    try:
        content = parsed_json(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"member {member.name!r}: invalid JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"member {member.name!r}: not a JSON object")
    return {name: content[key] for name, key in columns.items() if content.get(key) is not None}


def _crc(descriptor: int, member: Member) -> int:
    crc, done = 0, 0
    while done < member.size:
        part = os.pread(descriptor, min(_PART, member.size - done), member.offset + done)
        if not part:
            raise ValueError(f"member {member.name!r}: the shard was truncated while it was read")
        crc, done = zlib.crc32(part, crc), done + len(part)
    return crc


def _digest(descriptor: int) -> str:
    digest, at = blake2b(digest_size=16), 0
    while part := os.pread(descriptor, _PART, at):
        digest.update(part)
        at += len(part)
    return digest.hexdigest()


def _list_bad(faults: Sequence[str], out: Path) -> None:
    """List what was skipped in a file beside the manifest, and say how much it is."""
    listed = out.with_name(f"{out.stem}_bad.txt")
    if not faults:
        listed.unlink(missing_ok=True)
        return
    with atomic_write(listed) as temporary:
        temporary.write_text("".join(f"{line}\n" for line in faults), encoding="utf-8")
    print(f"{len(faults):,} shards, members or samples were skipped; full list in {listed}")
