"""Packing of samples that arrive one by one into shards of about equal size."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmtx_cli.data.shards.plan import MAX_SAMPLES, Packed
from mmtx_cli.data.shards.sample_files import ShardContent
from mmtx_cli.data.shards.tar_writer import Source, shard_name, tar_size, write_tar
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.media.shard.index import INDEX, IndexPart, write_index
from mmtx_cli.media.shard.reference import join_reference

MEDIA = ("image", "video", "audio")


class ShardStream:
    """Writes samples to the shards of a folder; their contents are not kept in memory."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        """Set the folder, which is created, and after how many bytes a shard ends."""
        self.folder, self.max_bytes = folder, max_bytes
        self.parts: list[IndexPart] = []

    def rows(self, samples: Iterator[tuple[str, Packed]]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Write all samples, and yield each place with its row, whose references are absolute.

        The index is written at the end.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            path = self.folder / shard_name(len(self.parts))
            found: list[tuple[str, dict[str, Any]]] = []
            part = write_tar(path, self._entries(samples, ShardContent(path.name), found))
            if not found:
                path.unlink()
                break
            self.parts.append(part)
            yield from ((place, self._absolute(row)) for place, row in found)
        with atomic_write(self.folder / INDEX) as temporary:
            write_index(temporary, self.parts)

    def _entries(
        self,
        samples: Iterator[tuple[str, Packed]],
        content: ShardContent,
        found: list[tuple[str, dict[str, Any]]],
    ) -> Iterator[tuple[str, Source]]:
        size = 0
        for place, sample in samples:
            row, entries = content.add(sample.key, sample.row, sample.contents)
            found.append((place, row))
            yield from entries
            size += tar_size(source.size for _, source in entries)
            if size >= self.max_bytes or len(found) >= MAX_SAMPLES:
                return

    def _absolute(self, row: dict[str, Any]) -> dict[str, Any]:
        def absolute(value: str) -> str:
            shard, _, member = value.partition("::")
            return join_reference(str(self.folder / shard), member)

        return {
            key: value
            if key not in MEDIA
            else [*map(absolute, value)]
            if isinstance(value, list)
            else absolute(value)
            for key, value in row.items()
        }
