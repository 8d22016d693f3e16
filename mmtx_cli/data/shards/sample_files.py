"""Members of a sample in a shard, named as by img2dataset and WebDataset: KEY.jpg, KEY.txt, …"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from mmtx_cli.data.shards.tar_writer import Source, of_bytes
from mmtx_cli.io.jsonl import json_line
from mmtx_cli.media.shard.reference import join_reference

_SUFFIX = re.compile(r"\.[a-z0-9]{1,8}")


@dataclass
class Contents:
    """The media files of a sample, by modality, each with the key that says which are the same."""

    image: Sequence[tuple[str, Source]] = ()
    video: tuple[str, Source] | None = None
    audio: tuple[str, Source] | None = None

    def all(self) -> Iterator[tuple[str, str, tuple[str, Source]]]:
        """Yield modality, infix of the member's name, and the file."""
        infixes = [f".{i}" for i in range(len(self.image))] if len(self.image) > 1 else [""]
        yield from (
            ("image", infix, file) for infix, file in zip(infixes, self.image, strict=False)
        )
        if self.video:
            yield "video", "", self.video
        if self.audio:
            yield "audio", "", self.audio


@dataclass
class ShardContent:
    """Collects the members of a shard; a file that several of its samples share is stored once."""

    shard: str
    known: dict[str, str] = field(default_factory=dict)
    used: set[str] = field(default_factory=set)

    def add(
        self, key: str, row: Mapping[str, Any], contents: Contents
    ) -> tuple[dict[str, Any], list[tuple[str, Source]]]:
        """Return the manifest row of a sample, and the members to add for it.

        Args:
            key: Base name of its members.
            row: The row without media.
            contents: Its media.
        """
        entries: list[tuple[str, Source]] = []
        places: dict[str, list[str]] = {}
        for modality, infix, (identity, source) in contents.all():
            name = self.known.get(identity)
            if name is None:
                name = self.known[identity] = self._free(key, infix, suffix_of(identity), modality)
                entries.append((name, source))
            places.setdefault(modality, []).append(join_reference(self.shard, name))
        media: dict[str, Any] = {m: p if len(p) > 1 else p[0] for m, p in places.items()}
        new = {**_head(row), **media, **_tail(row)}
        if text := next(iter(row.get("captions") or ()), row.get("text")):
            entries.append((f"{key}.txt", of_bytes(str(text).encode("utf-8", "surrogatepass"))))
        entries.append((f"{key}.json", of_bytes(json_line(new).encode("utf-8", "surrogatepass"))))
        return new, entries

    def _free(self, key: str, infix: str, suffix: str, modality: str) -> str:
        """Return a name that no member has: a sample's audio may have the suffix of its video."""
        name = f"{key}{infix}{suffix}"
        if name in self.used:
            name = f"{key}{infix}.{modality}{suffix}"
        self.used.add(name)
        return name


def _head(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("id", "split") if key in row}


def _tail(row: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("id", "split")}


def suffix_of(path: str) -> str:
    """Return the suffix of a media path in lower case; ``.bin`` if it has none that is plain."""
    suffix = PurePath(path).suffix.lower()
    # .txt and .json are those of the sample's own text and row
    plain = _SUFFIX.fullmatch(suffix) and suffix not in (".txt", ".json", ".tar")
    return suffix if plain else ".bin"
