"""Record of unreadable files; too many of them stop the run."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmtx_cli.errors import DataError
from mmtx_cli.io.atomic import appending
from mmtx_cli.io.file_errors import writing
from mmtx_cli.io.jsonl import json_line
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, read_record

Fault = Mapping[str, str]
Key = tuple[str, str]


class Quarantine:
    """``quarantine.jsonl`` of a run, in which each unreadable sample is recorded once.

    All processes append to the same file, so that each can count the faults of all.
    """

    def __init__(self, path: Path, total: int, max_fraction: float) -> None:
        """Open the record; ``max_fraction`` of ``total`` samples may be unreadable."""
        self.path = path
        self.total = total
        self.max_fraction = max_fraction
        self.seen: set[Key] = set()
        # files from before resuming may have been repaired: count them only if they fail again
        self.before = set(self.recorded())

    def recorded(self) -> dict[Key, Fault]:
        """Return the recorded faults of all processes.

        Raises:
            DataError: if a line has another format; the file may not be a quarantine file.
        """
        if not self.path.is_file():
            return {}
        found: dict[Key, Fault] = {}
        try:
            *lines, _ = read_record(self.path).split("\n")
        except RefusedFileError as error:
            raise DataError(f"{self.path}: {error}; remove the file") from error
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                found[str(row["id"]), str(row["path"])] = {
                    key: str(row[key]) for key in ("id", "path", "reason")
                }
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                raise DataError(
                    f"{self.path}:{number}: invalid line in a quarantine file; remove the file"
                ) from error
        return found

    def add(self, faults: Iterable[Fault]) -> None:
        """Append faults that are not recorded yet."""
        new = {(f["id"], f["path"]): f for f in faults if (f["id"], f["path"]) not in self.seen}
        if not new:
            return
        self.seen |= new.keys()
        recorded = self.recorded()
        lines = [json_line(fault) + "\n" for key, fault in new.items() if key not in recorded]
        if lines:
            with writing(self.path), appending(self.path) as file:
                file.write("".join(lines))

    def check(self) -> None:
        """Raise DataError if more samples than allowed could not be read."""
        recorded = self.recorded()
        unreadable = self.seen | (recorded.keys() - self.before)
        if len(unreadable) > self.max_fraction * self.total:
            last = list(recorded.values())[-1]
            raise DataError(
                f"{len(unreadable)} of {self.total} samples cannot be read, more than "
                f"data.max_unreadable_fraction={self.max_fraction:g} allows; the last is "
                f"{last['id']} ({last['path']}: {last['reason']}); all are listed in "
                f"{self.path}: fix or remove them, or raise data.max_unreadable_fraction"
            )
