"""Files and texts given on the command line as inputs of a trained model."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmtx_cli.config.cross_checks import reads_words, text_target
from mmtx_cli.config.preprocessing import Preprocessing
from mmtx_cli.data.list_files import files_below
from mmtx_cli.distributed.ranks import is_first_process
from mmtx_cli.errors import CheckpointError, ConfigError, DataError
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, read_text
from mmtx_cli.media.suffixes import SUFFIXES
from mmtx_cli.runs.run_config import RunConfig

if TYPE_CHECKING:
    from mmtx_cli.data.dataset import ManifestDataset
    from mmtx_cli.data.input_files import InputFiles, Picture
    from mmtx_cli.data.pieces import Piece
    from mmtx_cli.data.sample_reader import Media
    from mmtx_cli.data.text.tokenizer import Tokenizer
    from mmtx_cli.media.worker.limits import DecodeLimits

LARGEST_LIST = 2**28
"""Bytes of the largest list of files."""
SHOWN = 5
"""Maximum number of skipped file types that a message lists."""
NO_TOKENIZER = "tokenizer.json is missing; use the whole model folder"


def input_files(inputs: Any, own: str | None = None) -> list[str]:
    """Return the files that the inputs name; folders are searched recursively for media.

    Args:
        inputs: Files, folders, patterns, and lists of files (``@FILE``).
        own: Suffix of files that mmtx writes there, which are not reported as skipped.

    Raises:
        DataError: if an input is a URL, a pattern without matches, or a folder without media.
    """
    media_suffixes = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    paths: list[str] = []
    faults: list[str] = []
    for text in each_input(inputs):
        if "://" in text:
            faults.append(f"inputs: {text} is a URL; download the file and pass its path")
            continue
        if text.startswith("@") and not os.path.exists(text):
            try:
                paths += listed_files(Path(os.path.expanduser(text[1:])))
            except DataError as error:
                faults.append(str(error))
            continue
        path = Path(os.path.expanduser(text))  # keeps "~name" if there is no such user
        if path.is_dir():
            contents = sorted(p for p in files_below(path) if p.is_file())
            files = [p for p in contents if p.suffix.lower() in media_suffixes]
            known = {*media_suffixes, f".{own}"}
            print_skipped(text, [p for p in contents if p.suffix.lower() not in known])
            faults += (
                [] if files else [f"inputs: {text}: folder without image, video or audio files"]
            )
            paths += map(str, files)
        elif has_magic(text) and not path.exists():
            files = [Path(p) for p in sorted(glob(str(path), recursive=True)) if Path(p).is_file()]
            faults += [] if files else [f"inputs: {text}: no matching files"]
            paths += map(str, files)
        else:
            paths.append(str(path))  # a missing file is reported in its own output line
    if faults:
        raise DataError(*faults)
    return paths


def listed_files(path: Path) -> list[str]:
    """Return the paths in a text file, one a line; relative ones are relative to its folder.

    Raises:
        DataError: if it cannot be read or names no file.
    """
    try:
        lines = read_text(path, LARGEST_LIST).removeprefix("\ufeff").split("\n")
    except (OSError, RefusedFileError) as error:
        raise DataError(f"inputs: @{path}: not a readable list of files: {error}") from error
    lines = [line.removesuffix("\r") for line in lines]
    found = [str(path.parent / os.path.expanduser(line)) for line in lines if line]
    if not found:
        raise DataError(f"inputs: @{path}: names no file; write one path a line")
    return found


def each_input(inputs: Any) -> list[str]:
    """Return the inputs as a list of strings, also if there is only one."""
    is_list = isinstance(inputs, Sequence) and not isinstance(inputs, str)
    return [str(item) for item in (inputs if is_list else [inputs])]


def as_text(text: Any) -> str | None:
    """Return the value of ``text`` as a string: YAML reads 2024 as a number.

    Raises ConfigError if it is a list or mapping.
    """
    if type(text) in (int, float):
        return str(text)
    if not isinstance(text, str | None):
        raise ConfigError(f"text={text}: must be one text, e.g. text='what color is the bus?'")
    return text


def print_skipped(folder: str, files: Sequence[Path]) -> None:
    """Print how many files of a folder are not media by their suffix, with an example of each."""
    by_suffix: dict[str, list[str]] = {}
    for path in files:
        by_suffix.setdefault(path.suffix, []).append(path.name)
    if by_suffix and is_first_process():
        groups = sorted(by_suffix.values(), key=len, reverse=True)
        examples = [
            group[0] + (f" and {len(group) - 1} more" if group[1:] else "") for group in groups
        ]
        more = ", …" if len(examples) > SHOWN else ""
        print(
            f"inputs: {folder}: {len(files)} files skipped "
            f"({', '.join(examples[:SHOWN])}{more}): not "
            "image, video or audio files by their suffix; files that are passed individually are "
            "read whatever their suffix",
            file=sys.stderr,
        )


@dataclass(frozen=True)
class InputReader:
    """Turns inputs that are not manifest rows into samples for a trained model.

    ``modalities`` are those of the model; ``text_tokenizer`` is the text encoder's own, if any.
    """

    modalities: list[str]
    preparation: Preprocessing
    tokenizer: "Tokenizer | None"
    text_tokenizer: "Tokenizer | None"
    limits: "DecodeLimits"

    @classmethod
    def of(cls, run: RunConfig) -> "InputReader":
        """Return the reader of the trained model of ``run``.

        Raises CheckpointError if the model reads or generates text and its tokenizer is missing.
        """
        from mmtx_cli.data.text.tokenizer import Tokenizer
        from mmtx_cli.data.text.tokenizer_choice import pretrained_tokenizer
        from mmtx_cli.media.worker.limits import DecodeLimits

        stored_tokenizer = run.stored.get("tokenizer")
        text_tokenizer = pretrained_tokenizer(
            run.encoder.get("text") or {}, run.stored.get("text_tokenizer")
        )
        reads = reads_words(run.plain) and text_tokenizer is None
        if not stored_tokenizer and (
            reads or any(map(text_target, filter(None, run.head.values())))
        ):
            raise CheckpointError(f"ckpt={run.ckpt}: {NO_TOKENIZER}")
        tokenizer = Tokenizer.from_json(stored_tokenizer) if stored_tokenizer else None
        return cls(
            [*run.encoder], run.preprocessing, tokenizer, text_tokenizer, DecodeLimits.of(run.data)
        )

    def files(
        self,
        pieces: "Sequence[Piece | Picture]",
        names: Sequence[str],
        text: str | None,
        media: "Media | None" = None,
    ) -> "InputFiles":
        """Return files or video segments as samples.

        Args:
            pieces: The files or segments.
            names: Ids of the samples.
            text: Text that the model reads with each of them.
            media: Decodes the files (default: a decoder of its own).
        """
        from mmtx_cli.data.input_files import InputFiles

        return InputFiles(
            pieces,
            names,
            self.modalities,
            replace(self.preparation, text="text" if text else None),
            self.tokenizer,
            self.limits,
            text,
            self.text_tokenizer,
            media,
        )

    def texts(self, texts: Sequence[str]) -> "ManifestDataset":
        """Return texts as text-only samples, whose ids are their indices from 0."""
        from mmtx_cli.data.dataset import ManifestDataset
        from mmtx_cli.data.manifest.sample import Sample

        return ManifestDataset(
            [Sample(str(i), "test", text=text) for i, text in enumerate(texts)],
            self.modalities,
            (),
            replace(self.preparation, text="text"),
            self.tokenizer,
            text_tokenizer=self.text_tokenizer,
        )


def piece_fields(piece: "Piece | Picture") -> dict[str, Any]:
    """Return the path, and for a segment its times in seconds from the start of the file.

    A picture in memory has neither.
    """
    if not hasattr(piece, "path"):
        return {}
    if piece.start is None or piece.end is None:
        return {"path": piece.path}
    times = {"start": piece.start, "end": piece.end, "seconds": piece.end - piece.start}
    return {"path": piece.path, **{name: round(value, 3) for name, value in times.items()}}
