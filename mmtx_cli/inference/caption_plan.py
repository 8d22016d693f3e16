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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import atomic_write, make_subfolder, write_json
from mmtx_cli.io.checkpoint import WEIGHTS, find_model
from mmtx_cli.io.jsonl import json_line, parsed_json
from mmtx_cli.runs.run_config import CaptionConfig

if TYPE_CHECKING:
    from mmtx_cli.data.input_files import Piece
    from mmtx_cli.distributed.launch import Process

FOLDER = ".captions"
BATCHES = 4
"""Batches in a part: finished inputs make room for others within it."""
IRRELEVANT = ("run_dir", "inputs", "logger", "trainer", "optimizer", "trusted_packages", "hydra")
"""Root keys that do not change the captions of an input."""
PLAN, LAUNCH = "plan.json", "launch"


@dataclass(frozen=True)
class Plan:
    """The inputs of a run in their order, in parts of ``size``."""

    folder: Path
    pieces: "Sequence[Piece]"
    size: int
    token: str

    @property
    def parts(self) -> int:
        """Number of parts."""
        return -(-len(self.pieces) // self.size)

    def part(self, number: int) -> range:
        """Return the indices of the inputs of a part."""
        return range(number * self.size, min((number + 1) * self.size, len(self.pieces)))

    def lines(self, number: int) -> Path:
        """Return the path of the lines of a part."""
        return self.folder / f"{number:06}.jsonl"

    def is_finished(self, number: int) -> bool:
        """Return whether the lines of a part are written."""
        return self.lines(number).is_file()

    def finished(self) -> int:
        """Return the number of inputs in finished parts, of all processes."""
        return sum(len(self.part(i)) for i in range(self.parts) if self.is_finished(i))

    def take(self) -> Iterator[int]:
        """Yield unfinished parts that no other process of this launch has taken."""
        for number in range(self.parts):
            if self.is_finished(number):
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

    def merge(self) -> list[str]:
        """Return the lines of all parts."""
        parts = (self.lines(i).read_text(encoding="utf-8") for i in range(self.parts))
        return [line for text in parts for line in text.split("\n")[:-1]]

    def remove(self) -> None:
        """Remove the folder, which is no longer needed."""
        shutil.rmtree(self.folder)


def settings_of(run: CaptionConfig) -> dict[str, Any]:
    """Return a digest of each group of settings that changes the captions."""
    plain = {key: value for key, value in run.plain.items() if key not in IRRELEVANT}
    plain["trainer.precision"] = run.trainer.precision
    weights = find_model(str(run.ckpt))
    if not weights.is_relative_to(run.run_dir):  # a folder there refers to a published model
        status = os.stat(weights / WEIGHTS if weights.is_dir() else weights)
        plain["weights of ckpt"] = [status.st_size, status.st_mtime_ns]
    return {key: digest(value) for key, value in sorted(plain.items())}


def digest(value: Any) -> str:
    """Return a short hash of plain data."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


def make_plan(
    run: CaptionConfig, found: "Sequence[Piece]", wanted: "Sequence[Piece]", process: "Process"
) -> Plan:
    """Return the plan of a new run; of an interrupted one, its own plan.

    Args:
        run: The settings.
        found: The inputs.
        wanted: Those to caption.
        process: This process; the first one writes a new plan and a token of this launch.

    Raises:
        ConfigError: If the folder has an unfinished run with other settings.
    """
    from mmtx_cli.data.input_files import Piece

    folder = run.run_dir / FOLDER
    if process.is_first:
        open_plan(folder, run, found, wanted)
        (folder / LAUNCH).write_text(secrets.token_hex(8), encoding="utf-8")
    process.barrier()
    stored = read_plan(folder)
    pieces = [Piece(**piece) for piece in stored["pieces"]]
    token = (folder / LAUNCH).read_text(encoding="utf-8")
    return Plan(folder, pieces, int(stored["size"]), token)


def open_plan(
    folder: Path, run: CaptionConfig, found: "Sequence[Piece]", wanted: "Sequence[Piece]"
) -> None:
    """Write the plan of a new run; compare that of an interrupted one.

    Args:
        folder: Folder of the plan.
        run: The settings.
        found: The inputs.
        wanted: Those to caption.
    """
    make_subfolder(folder)
    settings, listed = settings_of(run), digest([asdict(piece) for piece in found])
    if not (folder / PLAN).exists():
        size = BATCHES * (run.data.eval_batch_size or run.data.batch_size)
        pieces = [asdict(piece) for piece in wanted]
        plan = {"settings": settings, "found": listed, "size": size, "pieces": pieces}
        write_json(folder / PLAN, plan)
        return
    stored = read_plan(folder)
    before = stored["settings"]
    changed = sorted(k for k in {*settings, *before} if settings.get(k) != before.get(k))
    if changed:
        raise ConfigError(
            f"run_dir={run.run_dir}: has an unfinished run with other settings "
            f"({', '.join(changed)}); use the same settings to continue it, or another folder"
        )
    if listed != stored["found"]:
        print(
            f"run_dir={run.run_dir}: the inputs have changed; those of the unfinished run are "
            "captioned, for others use another folder afterwards",
            file=sys.stderr,
        )


def read_plan(folder: Path) -> dict[str, Any]:
    """Return the content of a plan.

    Raises:
        ConfigError: If the file is not a plan.
    """
    try:
        stored = parsed_json((folder / PLAN).read_text(encoding="utf-8"))
        types = {"settings": dict, "found": str, "size": int, "pieces": list}
        if not all(isinstance(stored[key], kind) for key, kind in types.items()):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{folder / PLAN}: not a plan of mmtx caption; use another run_dir"
        ) from error
    return stored  # type: ignore[no-any-return]
