"""First reading of a manifest: parts of it are validated in several processes."""

import itertools
import multiprocessing
import os
import sys
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmtx_cli.data.loader_worker import group_signals_blocked, init_worker
from mmtx_cli.data.manifest.path_resolver import Root
from mmtx_cli.data.manifest.reading import Fault, Reading
from mmtx_cli.data.manifest.row_parser import RowReader, Values
from mmtx_cli.data.manifest.table.columns import record_batches
from mmtx_cli.data.manifest.table_file import JsonLines, read_lines
from mmtx_cli.errors import RunError
from mmtx_cli.io.cores import available_cores

PART_BYTES = 2**24
"""Bytes of a manifest that one process reads at a time."""
BATCH_ROWS = 2**16
MAX_PROCESSES = 16
_SCAN = 2**16


@dataclass
class Part:
    """Rows of a part of a manifest: an Arrow file for each batch, and faults by line."""

    files: list[Path] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    faulty_ids: list[tuple[int, str]] = field(default_factory=list)
    """Lines and ids of rows with faults, which may not be used twice either."""
    missing: dict[str, str] = field(default_factory=dict)
    num_checked: int = 0
    num_lines: int = 0
    stopped: bool = False
    """Whether a fault makes the rest of the manifest unreadable."""


class PartReader:
    """Reads parts of a manifest in one process, whose reader remembers folders.

    Args:
        reading: The manifest.
        folder: Where to write Arrow files.
    """

    def __init__(self, reading: Reading, folder: Path) -> None:
        self.reading, self.folder = reading, folder
        self.reader: RowReader
        self.root: Root
        self.reader, self.root = reading.reader()

    def read(self, number: int, start: int, end: int) -> Part:
        """Read the JSON Lines between two positions; ``number`` is that of the part."""
        lines = JsonLines(self.reading.path, start, end)
        part = self.part(number, lines)
        part.num_lines, part.stopped = lines.num_lines, lines.stopped
        return part

    def part(self, number: int, lines: Any) -> Part:
        """Read the rows of lines."""
        part = Part()
        self.root.missing, self.root.num_checked = {}, 0
        rows: list[Values] = []
        for line, values, ident, faults in self.reading.rows(lines, self.reader):
            if faults:
                part.faults += [(line, fault) for fault in faults]
                if ident:
                    part.faulty_ids.append((line, ident))
            elif values is not None:
                rows.append((*values, line))
            if len(rows) >= BATCH_ROWS:
                self.write(part, number, rows)
                rows = []
        self.write(part, number, rows)
        part.missing, part.num_checked = self.root.missing, self.root.num_checked
        return part

    def write(self, part: Part, number: int, rows: list[Values]) -> None:
        """Write rows to files of their own, since each batch has only the columns it needs."""
        import pyarrow

        for batch in record_batches(rows):
            path = self.folder / f"part-{number:06}-{len(part.files):04}.arrow"
            with (
                pyarrow.OSFile(str(path), "wb") as file,
                pyarrow.ipc.new_file(file, batch.schema) as writer,
            ):
                writer.write_batch(batch)
            part.files.append(path)


def read_parts(reading: Reading, folder: Path) -> Iterator[Part]:
    """Yield the parts of a manifest in order, up to one that stops reading.

    JSON Lines are divided among processes; other formats are read by this one.

    Raises:
        RunError: if a process is killed.
    """
    if reading.path.suffix.lower() not in (".jsonl", ".ndjson"):
        yield PartReader(reading, folder).part(0, read_lines(reading.path))
        return
    bounds = line_bounds(reading.path, PART_BYTES)
    tasks = [(i, *pair) for i, pair in enumerate(itertools.pairwise(bounds))]
    for part in _in_order(reading, folder, tasks):
        yield part
        if part.stopped:
            return


def line_bounds(path: Path, size: int) -> list[int]:
    """Return positions of line starts at least ``size`` bytes apart, from 0 to the file's end."""
    end = os.path.getsize(path)
    bounds = [0]
    with path.open("rb") as file:
        while bounds[-1] + size < end:
            position = bounds[-1] + size
            file.seek(position)
            while (block := file.read(_SCAN)) and b"\n" not in block:
                position += len(block)
            if not block:
                break
            bounds.append(position + block.index(b"\n") + 1)
    return bounds if bounds[-1] == end else [*bounds, end]


_process: PartReader | None = None


def _start(reading: Reading, folder: Path) -> None:
    global _process
    init_worker(0)
    _process = PartReader(reading, folder)


def _read(task: tuple[int, int, int]) -> Part:
    assert _process is not None
    return _process.read(*task)


def _in_order(reading: Reading, folder: Path, tasks: list[tuple[int, int, int]]) -> Iterator[Part]:
    processes = min(len(tasks), MAX_PROCESSES, available_cores())
    if processes < 2:
        reader = PartReader(reading, folder)
        yield from (reader.read(*task) for task in tasks)
        return
    # a fork starts at once; Linux alone supports it in every program
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else None)
    pool = ProcessPoolExecutor(processes, context, _start, (reading, folder))
    try:
        with warnings.catch_warnings(), group_signals_blocked():
            # Python warns if there are threads; reading rows uses no lock that they may hold
            warnings.simplefilter("ignore", DeprecationWarning)
            parts = pool.map(_read, tasks)
        yield from parts
    except BrokenProcessPool as error:
        raise RunError(
            f"{reading.path}: a process that reads the manifest was killed; the system may have "
            "run out of memory"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)
