"""``mmtx data action=shard``: pack the files of a manifest into tar shards."""

import os
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mmtx_cli.data.importer.options import Settings
from mmtx_cli.data.manifest.dataset_card import card_path, card_values
from mmtx_cli.data.manifest.option_names import CHECK_KEYS
from mmtx_cli.data.manifest.read import Manifest, read_manifest
from mmtx_cli.data.manifest.sample import KEYS, Sample
from mmtx_cli.data.manifest.table_file import read_lines
from mmtx_cli.data.manifest.writer import write_manifest
from mmtx_cli.data.shards.plan import ShardPlan, ordered, packed, plan_shard, shards_of
from mmtx_cli.data.shards.tar_writer import shards_in, write_tar
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.io.atomic import atomic_write, remove_leftovers
from mmtx_cli.io.progress import track
from mmtx_cli.media.shard.index import INDEX, IndexPart, ShardIndex, write_index
from mmtx_cli.media.shard.member_file import forget_shards
from mmtx_cli.media.shard.members import ShardError

UNFINISHED = ".unfinished"
"""File in the folder of shards that are being written: later runs of the command continue them."""
MEGABYTE = 10**6


def pack(settings: Settings) -> Path:
    """Write the shards, their index and their manifest; return the manifest's path.

    After a kill, the same command continues with the first shard that is not complete, and the
    result has the same bytes as that of an uninterrupted run.

    Raises:
        ConfigError: if ``out`` holds anything else.
        DataError: with the faults of the manifest.
    """
    out, manifest = Path(settings["out"]), _read(settings)
    samples = ordered(manifest.samples, settings["shuffle"], settings["seed"])
    extras = _extra_columns(manifest)
    shards = list(shards_of(samples, round(settings["shard_size"] * MEGABYTE)))
    out.mkdir(parents=True, exist_ok=True)
    done = _done_parts(out)
    complete = _claim(out, _identity(settings, samples), done)
    rows: list[dict[str, Any]] = []
    parts: list[IndexPart] = []
    for plan in track(_plans(shards, extras), len(shards), "shards"):
        parts.append(_written(out, plan, done, complete))
        rows += plan.rows
    _finish(out, parts)
    path = out / f"{manifest.path.stem}.jsonl"
    card = card_path(manifest.path)
    values = card_values(card) if card.is_file() else {}
    write_manifest(path, rows, card={k: v for k, v in values.items() if k != "root"})
    (out / UNFINISHED).unlink(missing_ok=True)
    size = sum(part.facts.bytes for part in parts)
    print(f"{len(rows):,} samples in {len(parts):,} shards, {size / MEGABYTE:,.1f} MB")
    return path


def _read(settings: Settings) -> Manifest:
    manifest = read_manifest(
        settings["manifest"],
        root=settings["root"],
        split=settings["split"],
        seed=settings["seed"],
        allow_outside_root=settings["allow_outside_root"],
        keys=CHECK_KEYS,
    )
    if with_features := [sample for sample in manifest.samples if sample.features]:
        raise DataError(
            f"{manifest.where(with_features[0])}: has features; feature files are read at random "
            "as they are, and are not packed: pack a manifest of images, videos and audio, and "
            "keep features in another"
        )
    return manifest


def _extra_columns(manifest: Manifest) -> dict[int, dict[str, Any]]:
    """Return the user's own columns of each row, by line."""
    return {
        line: extra
        for line, row in read_lines(manifest.path)
        if isinstance(row, dict)
        and (extra := {k: v for k, v in row.items() if k not in KEYS and v not in (None, "")})
    }


def _plans(
    shards: Sequence[Sequence[Sample]], extras: dict[int, dict[str, Any]]
) -> Iterator[ShardPlan]:
    first = 0
    for number, samples in enumerate(shards):
        yield plan_shard(
            number,
            [
                packed(sample, f"{first + i:09d}", extras.get(sample.line, {}))
                for i, sample in enumerate(samples)
            ],
        )
        first += len(samples)


def _identity(settings: Settings, samples: Sequence[Sample]) -> str:
    """Return a digest of what is to be packed, apart from the state of the files."""
    digest = blake2b(repr(settings["shard_size"]).encode(), digest_size=16)
    for sample in samples:
        digest.update(repr((sample.id, list(sample.media()))).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def _claim(out: Path, identity: str, done: Mapping[str, IndexPart]) -> bool:
    """Mark the folder as unfinished; return whether it holds a complete set of shards.

    Raises:
        ConfigError: if it holds shards of another origin.
    """
    mark, shards = out / UNFINISHED, shards_in(out)
    if mark.is_file():
        if mark.read_text(encoding="utf-8") != identity:
            raise ConfigError(
                f"out={out}: holds unfinished shards of another data set or with other settings; "
                "finish them with the command that began them, or choose another folder"
            )
    elif shards and (out / INDEX).is_file() and set(shards) == set(done):
        return True
    elif shards:
        raise ConfigError(
            f"out={out}: holds tar files that this command did not write; choose another folder"
        )
    else:
        with atomic_write(mark) as temporary:
            temporary.write_text(identity, encoding="utf-8")
    remove_leftovers(out)
    return False


def _done_parts(out: Path) -> dict[str, IndexPart]:
    """Return the index entries of the shards that this command completed earlier, by name."""
    found: dict[str, IndexPart] = {}
    names = [name for name in os.listdir(out) if name == INDEX or name.endswith(".tar.index")]
    for name in sorted(names):
        try:
            index = ShardIndex(str(out), name)
        except ShardError:
            continue  # its shards are written again
        parts = [index.part(i) for i in range(len(index.shards))]
        found |= {part.facts.name: part for part in parts if part.facts.plan}
    return found


def _written(
    out: Path, plan: ShardPlan, done: Mapping[str, IndexPart], complete: bool
) -> IndexPart:
    """Return the index entries of a shard, which is written unless it is complete already.

    Raises:
        ConfigError: if all shards were complete, and this one was made from something else.
    """
    path, part = out / plan.name, done.get(plan.name)
    is_made = part is not None and part.facts.plan == plan.digest and path.is_file()
    if is_made and part is not None and path.stat().st_size == part.facts.bytes:
        return part
    if complete:
        raise ConfigError(
            f"out={out}: holds shards of another data set, of other settings, or of files that "
            f"have changed since ({plan.name} differs); remove them, or choose another folder"
        )
    part = write_tar(path, plan.entries, plan.digest)
    with atomic_write(out / f".{plan.name}.index") as temporary:
        write_index(temporary, [part])
    return part


def _finish(out: Path, parts: Sequence[IndexPart]) -> None:
    """Write the index of all shards, and remove what is no longer needed."""
    with atomic_write(out / INDEX) as temporary:
        write_index(temporary, parts)
    forget_shards()
    names = {part.facts.name for part in parts}
    for name in set(shards_in(out)) - names:  # the files were larger when it was written
        (out / name).unlink()
    for part_index in out.glob(".*.tar.index"):
        part_index.unlink()
