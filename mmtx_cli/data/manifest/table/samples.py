"""Samples in memory-mapped Arrow files, as a sequence."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any, overload

import numpy as np

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.columns import samples_of
from mmtx_cli.data.manifest.table.files import batches_in
from mmtx_cli.errors import DataError

BLOCK = 8192
"""Rows converted to samples at once."""
_SCATTERED = 32
"""Runs of rows in one block above which they are gathered."""
Rows = range | np.ndarray


@dataclass(frozen=True)
class TableFile:
    """An Arrow file of samples; with ``corpus``, one of several data sets."""

    path: Path
    corpus: str | None = None


class SampleTable(Sequence[Sample]):
    """Rows of Arrow files, of which ``table[i]`` makes one ``Sample`` when it is needed.

    Files are mapped, so that all processes share one copy in the page cache; a copy of a table
    (``pickle``, a slice, ``take``) has no rows of its own, only their numbers.

    Args:
        files: The files, whose rows are numbered consecutively.
        rows: Numbers of the rows that the sequence consists of; None for all.
    """

    def __init__(self, files: Sequence[TableFile], rows: Rows | None = None) -> None:
        self.files = tuple(files)
        batches = [(batch, file.corpus) for file in self.files for batch in _open(file.path)]
        self._batches = [batch for batch, _ in batches]
        self._corpora = [corpus for _, corpus in batches]
        sizes = [batch.num_rows for batch in self._batches]
        self._first = np.cumsum([0, *sizes])
        self.rows: Rows = range(int(self._first[-1])) if rows is None else rows
        self._last: tuple[int, Sample] | None = None

    def __getstate__(self) -> tuple[tuple[TableFile, ...], Rows]:
        return self.files, self.rows

    def __setstate__(self, state: tuple[tuple[TableFile, ...], Rows]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> "SampleTable": ...
    def __getitem__(self, index: int | slice) -> "Sample | SampleTable":
        """Return one sample, or a table of the rows in a slice."""
        if isinstance(index, slice):
            return self._view(self.rows[index])
        row = int(self.rows[index])
        last = self._last  # another thread may replace it
        if last is None or last[0] != row:
            k = int(np.searchsorted(self._first, row, "right")) - 1
            one = self._batches[k].slice(row - int(self._first[k]), 1)
            last = self._last = row, next(samples_of(one, self._corpora[k]))
        return last[1]

    def __iter__(self) -> Iterator[Sample]:
        for batch, corpus in self.blocks():
            yield from samples_of(batch, corpus)

    def with_columns(self, names: Sequence[str]) -> Iterator[Sample]:
        """Yield the samples with the fields of some columns only; the others are empty."""
        for batch, corpus in self.blocks(["id", "line", *names]):
            yield from samples_of(batch, corpus)

    def take(self, index: np.ndarray) -> "SampleTable":
        """Return a table of some rows: [m] numbers of rows, or [n] bool."""
        index = np.flatnonzero(index) if index.dtype == bool else index
        if len(index) and int(index[-1]) - int(index[0]) + 1 == len(index) and _rises(index):
            return self._view(self.rows[int(index[0]) : int(index[-1]) + 1])
        rows = self.rows
        chosen = rows.start + index * rows.step if isinstance(rows, range) else rows[index]
        small = np.uint32 if self.num_rows < 2**32 else np.int64
        return self._view(np.asarray(chosen, dtype=small))

    def _view(self, rows: Rows) -> "SampleTable":
        table = SampleTable.__new__(SampleTable)
        table.__dict__.update(self.__dict__, rows=rows, _last=None)
        return table

    def blocks(
        self, names: Sequence[str] | None = None, size: int = BLOCK
    ) -> Iterator[tuple[Any, str | None]]:
        """Yield the rows in order as (record batch, corpus), with the columns ``names`` (or all)
        that the file has, and the splits.
        """
        for start in range(0, len(self.rows), size):
            yield from self._block(self.rows[start : start + size], names)

    def _block(self, rows: Rows, names: Sequence[str] | None) -> Iterator[tuple[Any, str | None]]:
        numbers = np.asarray(rows, dtype=np.int64)
        parts = np.searchsorted(self._first, numbers, "right") - 1
        starts = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(parts)]
        if names is not None:  # the splits, too: a batch without columns has no length
            names = [*dict.fromkeys(("split", *names))]
        if len(starts) > _SCATTERED:
            yield from self._gathered(numbers, parts, names)
            return
        for a, b in itertools.pairwise(starts):
            k = int(parts[a])
            batch = self._batches[k]
            if names is not None:
                batch = batch.select([name for name in names if name in batch.schema.names])
            local = numbers[a:b] - self._first[k]
            if int(local[-1]) - int(local[0]) + 1 == len(local) and _rises(local):
                yield batch.slice(int(local[0]), len(local)), self._corpora[k]
            else:
                yield batch.take(_arrow(local)), self._corpora[k]

    def _gathered(
        self, numbers: np.ndarray, parts: np.ndarray, names: Sequence[str] | None
    ) -> Iterator[tuple[Any, str | None]]:
        """Yield scattered rows in order: taken from each batch at once, then put in order."""
        import pyarrow as pa

        corpora = np.unique([str(name) for name in self._corpora], return_inverse=True)[1][parts]
        bounds = [0, *(np.flatnonzero(np.diff(corpora)) + 1).tolist(), len(parts)]
        for a, b in itertools.pairwise(bounds):
            order = np.argsort(numbers[a:b], kind="stable")
            ordered, k_of = numbers[a:b][order], parts[a:b][order]
            pieces = []
            for k in np.unique(k_of).tolist():
                batch = self._batches[k]
                if names is not None:
                    batch = batch.select([n for n in names if n in batch.schema.names])
                pieces.append(batch.take(_arrow(ordered[k_of == k] - self._first[k])))
            table = pa.Table.from_batches(pieces).combine_chunks()
            place = np.empty(len(order), dtype=np.int64)
            place[order] = np.arange(len(order))
            for batch in table.take(_arrow(place)).combine_chunks().to_batches():
                yield batch, self._corpora[int(parts[a])]

    @property
    def num_rows(self) -> int:
        """Number of rows in the files."""
        return int(self._first[-1])

    @property
    def identity(self) -> str:
        """Hash of the files and of the numbers of the rows."""
        digest = blake2b(digest_size=16)
        for file in self.files:
            digest.update(f"{file.path.parent.name} {file.corpus!r}\n".encode())
        rows = self.rows
        content = repr(rows).encode() if isinstance(rows, range) else rows.astype("<i8").data
        digest.update(content)
        return digest.hexdigest()

    @property
    def folder(self) -> Path:
        """Folder of the first file, where what follows from the rows may be stored."""
        return self.files[0].path.parent


def _rises(numbers: np.ndarray) -> bool:
    return bool((np.diff(numbers) == 1).all())


def _arrow(numbers: np.ndarray) -> Any:
    import pyarrow

    return pyarrow.array(numbers)


_opened: dict[Path, list[Any]] = {}


def _open(path: Path) -> list[Any]:
    """Return the record batches of a file, mapped once in a process."""
    if path not in _opened:
        import pyarrow

        try:
            batches = [*batches_in(path)]
        except (OSError, pyarrow.ArrowException) as error:
            raise DataError(f"{path}: cannot be opened: {error}; start again") from error
        _opened[path] = batches
    return _opened[path]
