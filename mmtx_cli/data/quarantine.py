"""Files that could not be read: written down with the reason, and too many of them stop the run."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from mmtx_cli.error import DataError


class Quarantine:
    """``quarantine.jsonl`` of a run; each sample is named once, also where a run is resumed."""

    def __init__(self, path: Path, total: int, max_fraction: float) -> None:
        """``total`` is the number of samples that ``max_fraction`` is a part of."""
        self.path = path
        self.total = total
        self.max_fraction = max_fraction
        self.seen: set[tuple[str, str]] = set()
        self.named: set[tuple[str, str]] = set()
        if path.is_file():
            with open(path, encoding="utf-8") as file:
                self.named = {(row["id"], row["path"]) for row in map(json.loads, file)}

    def add(self, faults: Iterable[Mapping[str, str]]) -> None:
        """Write the new ones; raise DataError once they are more than allowed."""
        new = {(f["id"], f["path"]): f for f in faults if (f["id"], f["path"]) not in self.seen}
        if not new:
            return
        self.seen |= new.keys()
        with open(self.path, "a", encoding="utf-8") as file:
            for key, fault in new.items():
                if key not in self.named:
                    file.write(json.dumps(dict(fault), ensure_ascii=False) + "\n")
        if len(self.seen) > self.max_fraction * self.total:
            *_, last = new.values()
            raise DataError(
                f"{len(self.seen)} of {self.total} samples cannot be read, more than "
                f"data.max_bad_fraction={self.max_fraction:g} allows; the last is {last['id']} "
                f"({last['path']}: {last['reason']}); all are in {self.path}: mend or remove them, "
                "or raise data.max_bad_fraction"
            )
