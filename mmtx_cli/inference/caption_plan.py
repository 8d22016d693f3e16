"""What an ``mmtx caption`` run has to do, and how far it is: parts that any process can take.

A part is a fixed list of inputs, which are generated together whatever was interrupted and however
many processes share the work; so the captions are the same to the last bit. Its lines are written
at once when it is finished. The folder ``.captions`` of a run holds:

- ``plan.json``: the settings, the inputs that were found and those that are captioned;
- ``NUMBER.jsonl``: the lines of a finished part;
- ``launch``: a token of the present launch, and ``NUMBER.TOKEN``: a part that one of its processes
  has taken.
"""

import hashlib
import json
import os
import secrets
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import atomic_write, check_subfolder, make_subfolder, write_json
from mmtx_cli.io.checkpoint import WEIGHTS, find_model
from mmtx_cli.io.jsonl import json_line, parsed_json
from mmtx_cli.io.onnx_folder import GRAPHS
from mmtx_cli.io.sharded.folder import CHECKSUMS, is_sharded
from mmtx_cli.io.untrusted.bounded_file import MAX_DOCUMENT_BYTES, read_json, read_text
from mmtx_cli.runs.run_config import CaptionConfig
from mmtx_cli.runs.run_dir import lock

if TYPE_CHECKING:
    from mmtx_cli.data.pieces import Piece
    from mmtx_cli.distributed.process import Process

FOLDER = ".captions"
BATCHES = 4
"""Batches in a part: finished inputs make room for others within it."""
IRRELEVANT = ("run_dir", "inputs", "logger", "trainer", "optimizer", "trusted_packages", "hydra")
"""Root keys that do not change the captions of an input."""
PLAN, LAUNCH = "plan.json", "launch"


LOADING = ("data.num_workers", "data.decode_timeout", "data.decode_memory")
"""Settings of the loading that do not change the captions."""
LARGEST_PART = 2**28
"""Bytes of the lines of a part."""
POLL_SECONDS = 1.0
"""Seconds between looks at what other processes have finished."""


@dataclass
class Known:
    """The finished parts as they were found last, and when to look again."""

    parts: set[int] = field(default_factory=set)
    until: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The inputs of a run in their order, in parts of ``size``."""

    folder: Path
    pieces: "Sequence[Piece]"
    size: int
    token: str
    order: Sequence[int] | None = None
    """The inputs in the order in which they are read, part by part; None: that of the output."""
    known: Known = field(default_factory=Known)

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-len(self.pieces) // self.size)

    def part(self, number: int) -> range:
        """Return the indices of the inputs of a part."""
        return range(number * self.size, min((number + 1) * self.size, len(self.pieces)))

    def reading_order(self, number: int) -> Sequence[int]:
        """Return the indices of the inputs of a part in the order in which they are read."""
        part = self.part(number)
        return part if self.order is None else self.order[part.start : part.stop]

    def lines(self, number: int) -> Path:
        """Return the path of the lines of a part."""
        return self.folder / f"{number:06}.jsonl"

    def finished_parts(self) -> set[int]:
        """Return the finished parts, of all processes."""
        if time.monotonic() >= self.known.until:
            names = (entry.name for entry in os.scandir(self.folder))
            stems = (name.removesuffix(".jsonl") for name in names if name.endswith(".jsonl"))
            self.known.parts = {int(stem) for stem in stems if stem.isdecimal()}
            self.known.until = time.monotonic() + POLL_SECONDS
        return self.known.parts

    def finished(self) -> int:
        """Return the number of inputs in finished parts, of all processes."""
        return sum(len(self.part(number)) for number in self.finished_parts())

    def take(self) -> Iterator[int]:
        """Yield unfinished parts that no other process of this launch has taken."""
        finished = set(self.finished_parts())
        for number in range(self.parts):
            if number in finished:
                continue
            path = self.folder / f"{number:06}.{self.token}"
            try:
                os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644))
            except FileExistsError:
                continue
            yield number

    def write(self, number: int, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the lines of a finished part."""
        with atomic_write(self.lines(number)) as temporary:
            text = "".join(f"{json_line(row)}\n" for row in rows)
            temporary.write_text(text, encoding="utf-8", newline="\n")
        self.known.parts.add(number)

    def merge(self) -> list[str]:
        """Return the lines of all parts.

        Raises:
            ConfigError: If the lines of a part are not those of its inputs.
        """
        lines: list[str] = []
        for number in range(self.parts):
            path = self.lines(number)
            try:
                own = read_text(path, LARGEST_PART).split("\n")[:-1]
                paths = [parsed_json(line)["path"] for line in own]
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise ConfigError(
                    f"{path}: not written by mmtx caption; use another run_dir"
                ) from error
            if paths != [self.pieces[i].path for i in self.part(number)]:
                raise ConfigError(f"{path}: not of the inputs of this run; use another run_dir")
            lines += own
        return lines

    def remove(self) -> None:
        """Remove the folder, which is no longer needed."""
        shutil.rmtree(self.folder)


def settings_of(run: CaptionConfig) -> dict[str, Any]:
    """Return a digest of each setting that changes the captions."""
    plain: dict[str, Any] = {}
    for key, value in run.plain.items():
        if key in ("data", "generation"):
            plain |= {f"{key}.{name}": inner for name, inner in asdict(getattr(run, key)).items()}
        elif key not in IRRELEVANT:
            plain[key] = value
    plain["trainer.precision"] = run.trainer.precision
    weights = Path(str(run.ckpt)).expanduser() if run.is_onnx else find_model(str(run.ckpt))
    if not weights.is_relative_to(run.run_dir):  # a folder there refers to a published model
        stored = CHECKSUMS if is_sharded(weights) else WEIGHTS
        names = GRAPHS if run.is_onnx else (stored,)
        files = [weights / name for name in names] if weights.is_dir() else [weights]
        stats = [os.stat(file) for file in files]
        plain["weights of ckpt"] = [x for s in stats for x in (s.st_size, s.st_mtime_ns)]
    return {key: digest(value) for key, value in sorted(plain.items()) if key not in LOADING}


def digest(value: Any) -> str:
    """Return a short hash of plain data."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def check_plan(run: CaptionConfig, found: "Sequence[Piece]", process: "Process") -> None:
    """Compare the settings with those of an interrupted run in the folder; a plan of which nothing
    is finished is removed.

    Args:
        run: The settings.
        found: The inputs.
        process: This process.

    Raises:
        ConfigError: If they differ.
    """
    folder = run.run_dir / FOLDER
    check_subfolder(folder)
    if not folder.exists() or not process.is_first:
        return
    lock(run.run_dir)
    if not (folder / PLAN).exists() or not any(folder.glob("*.jsonl")):
        shutil.rmtree(folder)
        return
    stored, settings = read_plan(folder), settings_of(run)
    before = stored["settings"]
    changed = sorted(k for k in {*settings, *before} if settings.get(k) != before.get(k))
    if changed:
        raise ConfigError(
            f"run_dir={run.run_dir}: has an unfinished run with other settings "
            f"({', '.join(map(str, changed))}); use the settings of its config.yaml to continue "
            "it, or another folder"
        )
    if digest([asdict(piece) for piece in found]) != stored["found"]:
        print(
            f"run_dir={run.run_dir}: the inputs have changed; those of the unfinished run are "
            "captioned, for others use another folder afterwards",
            file=sys.stderr,
        )


def by_size(pieces: "Sequence[Piece]", part: int) -> list[int]:
    """Return the indices of inputs in which those of each part are in the order of their size.

    So the inputs of a batch have about the same length, and little of it is padding. The size of a
    file in bytes stands for its length: it is known without opening the file.

    Args:
        pieces: The inputs.
        part: Number of inputs of a part.
    """

    def size(index: int) -> float:
        piece = pieces[index]
        if piece.start is not None and piece.end is not None:
            return piece.end - piece.start
        try:
            return os.stat(piece.path).st_size
        except OSError:  # reported when it is read
            return 0

    return sorted(range(len(pieces)), key=lambda index: (index // part, size(index), index))


def make_plan(
    run: CaptionConfig,
    found: "Sequence[Piece]",
    wanted: "Sequence[Piece]",
    process: "Process",
    lengths_differ: bool = False,
) -> Plan:
    """Return the plan of a new run; of an interrupted one, its own plan.

    Args:
        run: The settings.
        found: The inputs.
        wanted: Those to caption.
        process: This process; the first one writes a new plan and a token of this launch.
        lengths_differ: Whether the model reads more of a larger file, so that inputs of about the
            same size are read together.
    """
    folder = run.run_dir / FOLDER
    if process.is_first:
        size = BATCHES * (run.data.eval_batch_size or run.data.batch_size)
        make_subfolder(folder)
        if not (folder / PLAN).exists():
            write_json(
                folder / PLAN,
                {
                    "settings": settings_of(run),
                    "found": digest([asdict(piece) for piece in found]),
                    "size": size,
                    "order": by_size(wanted, size) if lengths_differ else None,
                    "pieces": [asdict(piece) for piece in wanted],
                },
            )
        with atomic_write(folder / LAUNCH) as temporary:
            temporary.write_text(secrets.token_hex(8), encoding="utf-8")
    process.barrier()
    stored = read_plan(folder)
    token = read_text(folder / LAUNCH, 64)
    return Plan(folder, stored["pieces"], stored["size"], token, stored.get("order"))


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the content of a plan.

    Raises:
        ConfigError: If the file is not a plan.
    """
    from mmtx_cli.data.pieces import Piece

    try:
        stored = read_json(folder / PLAN, MAX_DOCUMENT_BYTES)
        types = {"settings": dict, "found": str, "size": int, "pieces": list}
        if not all(isinstance(stored[key], kind) for key, kind in types.items()):
            raise ValueError("wrong types")
        pieces = [Piece(**piece) for piece in stored["pieces"]]
        if stored["size"] < 1 or not all(isinstance(piece.path, str) for piece in pieces):
            raise ValueError("wrong values")
        order = stored.get("order")
        if order is not None and sorted(order) != [*range(len(pieces))]:
            raise ValueError("wrong order")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder / PLAN}: not a plan of mmtx caption; use another run_dir"
        ) from error
    return {**stored, "pieces": pieces}
