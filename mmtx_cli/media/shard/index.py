"""The index of a folder of tar shards: where each member begins, its size and its checksum.

It is one file beside the shards, memory-mapped, so that opening it does not depend on the number of
members, and all processes share its pages. Members are found by a 64-bit hash of their names, by
which those of a shard are sorted.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np

from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, map_bytes
from mmtx_cli.media.shard.members import BLOCK, Member, ShardError
from mmtx_cli.media.shard.reference import join_reference, name_fault

INDEX = "shards.index"
"""File name of the index, in the folder of the shards."""
MAX_INDEX_BYTES = 1 << 40
MAX_SHARDS = 1_000_000
_MAGIC = b"mmtx shards 1\n\0\0"
_COLUMNS = (("key", "<u8"), ("offset", "<i8"), ("size", "<i8"), ("crc", "<u4"))
REMEDY = "run `mmtx data action=index` on its folder again"


@dataclass(frozen=True)
class ShardFacts:
    """What the index says about a shard.

    Attributes:
        name: File name.
        bytes: Size of the file.
        members: Number of members.
        digest: blake2b of the file (16 bytes, hexadecimal); "" if it was only scanned.
        mtime_ns: Modification time, compared if there is no digest.
        plan: Digest of what a shard that mmtx wrote was made from.
    """

    name: str
    bytes: int
    members: int
    digest: str = ""
    mtime_ns: int = 0
    plan: str = ""


@dataclass(frozen=True)
class Place:
    """Where a member lies in its shard; ``crc`` (CRC-32) is None if it is not known."""

    offset: int
    size: int
    crc: int | None


def member_key(name: str) -> int:
    """Return the 64-bit hash by which a member is found."""
    return int.from_bytes(blake2b(os.fsencode(name), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class IndexPart:
    """The entries of one shard: what is known about it, and its columns, sorted by key."""

    facts: ShardFacts
    columns: Mapping[str, np.ndarray]
    checksums: bool


def index_part(
    facts: ShardFacts, members: Sequence[Member], crcs: Sequence[int] | None
) -> IndexPart:
    """Return the entries of a shard, given its members and their CRC-32s (or None).

    Raises:
        ShardError: if two members have the same name.
    """
    keys = np.array([member_key(member.name) for member in members], dtype="<u8")
    order = np.argsort(keys, kind="stable")
    if (twice := np.flatnonzero(np.diff(keys[order]) == 0)).size:
        name = members[int(order[twice[0]])].name
        raise ShardError(facts.name, f"member {name!r} occurs twice")
    columns = {
        "key": keys[order],
        "offset": np.array([m.offset for m in members], dtype="<i8")[order],
        "size": np.array([m.size for m in members], dtype="<i8")[order],
        "crc": np.array([0] * len(members) if crcs is None else crcs, dtype="<u4")[order],
    }
    return IndexPart(facts, columns, crcs is not None)


def write_index(path: Path, parts: Sequence[IndexPart]) -> None:
    """Write the index of a folder of shards; equal parts give equal bytes."""
    checksums = all(part.checksums for part in parts)
    header = {"checksums": checksums, "shards": [asdict(part.facts) for part in parts]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 16)  # aligns the columns
    with path.open("wb") as file:
        file.write(_MAGIC + len(text).to_bytes(8, "little") + bytes(8) + text)
        for name, _ in _COLUMNS:
            for part in parts:
                file.write(part.columns[name].tobytes())


class ShardIndex:
    """An opened index. It comes with the data, so nothing in it is trusted."""

    def __init__(self, folder: str, name: str = INDEX) -> None:
        """Map the index of a folder.

        Raises:
            ShardError: if there is none, or it is not an index.
        """
        self.folder, self.path = folder, os.path.join(folder, name)
        try:
            self._open(map_bytes(Path(self.path), MAX_INDEX_BYTES))
        except FileNotFoundError as error:
            reason = "its folder has no index of shards; run `mmtx data action=index` on it"
            raise ShardError(self.path, reason) from error
        except OSError as error:
            raise ShardError(self.path, error.strerror or str(error)) from error
        except (RefusedFileError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise ShardError(self.path, f"not an index of shards ({error}); {REMEDY}") from error

    def _open(self, data: memoryview) -> None:
        start = len(_MAGIC) + 16
        if bytes(data[: len(_MAGIC)]) != _MAGIC:
            raise ValueError("it has another format")
        length = int.from_bytes(data[len(_MAGIC) : len(_MAGIC) + 8], "little")
        if length > len(data) - start or length > MAX_SHARDS * 1024:
            raise ValueError("truncated")
        header = json.loads(bytes(data[start : start + length]))
        self.checksums = header["checksums"] is True
        self.shards = [_facts(values) for values in header["shards"]]
        ends = np.cumsum([0, *(shard.members for shard in self.shards)]).tolist()
        at, columns = start + length, {}
        if len(data) - at != ends[-1] * sum(np.dtype(kind).itemsize for _, kind in _COLUMNS):
            raise ValueError("its size does not match its number of members")
        for name, kind in _COLUMNS:
            columns[name] = np.frombuffer(data, kind, ends[-1], at)
            at += columns[name].nbytes
        self.key, self.offset, self.size, self.crc = (columns[name] for name, _ in _COLUMNS)
        self.numbers = {shard.name: i for i, shard in enumerate(self.shards)}
        self.ends = ends

    def facts(self, shard: str) -> ShardFacts:
        """Return what is known about a shard, given by file name.

        Raises:
            ShardError: if it is not in the index.
        """
        number = self.numbers.get(shard)
        if number is None:
            raise ShardError(os.path.join(self.folder, shard), f"not in {INDEX}; {REMEDY}")
        return self.shards[number]

    def part(self, number: int) -> IndexPart:
        """Return the entries of a shard, given by its position in the index."""
        rows = slice(self.ends[number], self.ends[number + 1])
        columns = {name: getattr(self, name)[rows] for name, _ in _COLUMNS}
        return IndexPart(self.shards[number], columns, self.checksums)

    def find(self, shard: str, member: str) -> Place:
        """Return the place of a member.

        Raises:
            ShardError: naming shard and member, if the index has no such member, or places it
                outside the shard.
        """
        facts = self.facts(shard)
        number = self.numbers[shard]
        begin, end = self.ends[number], self.ends[number + 1]
        key = np.uint64(member_key(member))
        at = begin + int(np.searchsorted(self.key[begin:end], key))
        reference = join_reference(os.path.join(self.folder, shard), member)
        if at == end or self.key[at] != key:
            raise ShardError(reference, f"the shard has no member {member!r}")
        offset, size = int(self.offset[at]), int(self.size[at])
        if offset < BLOCK or size < 0 or offset + size > facts.bytes:
            raise ShardError(reference, f"{INDEX} places it outside the shard; {REMEDY}")
        return Place(offset, size, int(self.crc[at]) if self.checksums else None)

    @cached_property
    def digest(self) -> str:
        """A digest of the shards' contents, as far as the index knows them."""
        digest = blake2b(digest_size=16)
        for shard in self.shards:
            state = shard.digest or f"{shard.bytes} {shard.mtime_ns}"
            digest.update(f"{shard.name} {state}\n".encode("utf-8", "surrogatepass"))
        return digest.hexdigest()


def _facts(values: Mapping[str, Any]) -> ShardFacts:
    facts = ShardFacts(**values)
    numbers = (facts.bytes, facts.members, facts.mtime_ns)
    if not isinstance(facts.name, str) or "/" in facts.name or name_fault(facts.name):
        raise ValueError(f"{facts.name!r} is not a file name")
    if any(type(number) is not int or not 0 <= number < 1 << 62 for number in numbers):
        raise ValueError(f"the sizes of {facts.name} are not numbers")
    if not isinstance(facts.digest, str) or not isinstance(facts.plan, str):
        raise TypeError(f"the digest of {facts.name} is not text")
    return facts
