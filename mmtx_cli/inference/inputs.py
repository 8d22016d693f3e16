"""What is given on the command line for a trained model to read: files, and texts."""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, ListConfig

from mmtx_cli.config.cross_checks import reads_words, said
from mmtx_cli.config.preprocessing import Preparation
from mmtx_cli.data.list_files import files_below
from mmtx_cli.distributed.ranks import is_first_process
from mmtx_cli.errors import CheckpointError, ConfigError, DataError
from mmtx_cli.media.suffixes import SUFFIXES
from mmtx_cli.runs.resolve import preparation_of

if TYPE_CHECKING:
    from mmtx_cli.data.dataset import Samples
    from mmtx_cli.data.input_files import InputFiles, Piece
    from mmtx_cli.data.text.tokenizer import Tokenizer
    from mmtx_cli.media.worker.limits import DecodeLimits

SHOWN = 5
"""Kinds of files left out that a message names."""
NO_TOKENIZER = "it has no tokenizer.json; take the whole folder"


def found(inputs: Any) -> list[str]:
    """Files that the inputs name; of folders, the media in them and below."""
    known = {suffix for suffixes in SUFFIXES.values() for suffix in suffixes}
    paths: list[str] = []
    faults: list[str] = []
    for text in each_input(inputs):
        if "://" in text:
            faults.append(f"inputs: {text} is a URL; download the file and name it")
            continue
        path = Path(os.path.expanduser(text))  # leaves a name that begins with ~ as it is
        if path.is_dir():
            every = sorted(p for p in files_below(path) if p.is_file())
            files = [p for p in every if p.suffix.lower() in known]
            tell_left_out(text, [p for p in every if p.suffix.lower() not in known])
            faults += [] if files else [f"inputs: {text}: no image, video or sound in this folder"]
            paths += map(str, files)
        elif has_magic(text) and not path.exists():
            files = [Path(p) for p in sorted(glob(str(path), recursive=True)) if Path(p).is_file()]
            faults += [] if files else [f"inputs: {text}: matches no file"]
            paths += map(str, files)
        else:
            paths.append(str(path))  # one that is not there is told of in its own line
    if faults:
        raise DataError(*faults)
    return paths


def each_input(inputs: Any) -> list[str]:
    """One, or a list of them, as they were written."""
    return [str(one) for one in (inputs if isinstance(inputs, (list, ListConfig)) else [inputs])]


def read_text(cfg: DictConfig) -> None:
    """Make ``text`` the words that were written: 2024 is a number as YAML reads it.

    Raises ConfigError where it is a list or the like.
    """
    if type(cfg.text) in (int, float):
        cfg.text = str(cfg.text)
    if not isinstance(cfg.text, str | None):
        raise ConfigError(f"text={cfg.text}: write one text, e.g. text='what colour is the bus?'")


def tell_left_out(folder: str, files: Sequence[Path]) -> None:
    """Say how many files of a folder are no media by their names, and name one of each suffix."""
    kinds: dict[str, list[str]] = {}
    for path in files:
        kinds.setdefault(path.suffix, []).append(path.name)
    if kinds and is_first_process():
        most = sorted(kinds.values(), key=len, reverse=True)
        named = [
            names[0] + (f" and {len(names) - 1} like it" if names[1:] else "") for names in most
        ]
        more = ", …" if len(named) > SHOWN else ""
        print(
            f"inputs: {folder}: {len(files)} files left out ({', '.join(named[:SHOWN])}{more}): by "
            "their names no pictures, videos or sounds that can be read; a file that is named "
            "itself is read whatever its suffix",
            file=sys.stderr,
        )


@dataclass(frozen=True)
class InputReader:
    """How a trained model reads what is no row of a manifest.

    ``modalities`` are those of the model; ``text_tokenizer`` is its text encoder's own, if any.
    """

    modalities: list[str]
    preparation: Preparation
    tokenizer: "Tokenizer | None"
    text_tokenizer: "Tokenizer | None"
    limits: "DecodeLimits"

    @classmethod
    def of(cls, cfg: DictConfig, stored: Mapping[str, Any], data: Any) -> "InputReader":
        """The reader of the model that ``cfg`` describes, ``stored`` as ``read_config`` gives it.

        Raises CheckpointError if the model reads or writes words and its tokenizer is lost.
        """
        from mmtx_cli.data.text.tokenizer import Tokenizer
        from mmtx_cli.data.text.tokenizer_choice import own_tokenizer
        from mmtx_cli.media.worker.limits import DecodeLimits

        modalities = [name for name, node in cfg.encoder.items() if node]
        preparation = preparation_of(cfg, data)
        written = stored.get("tokenizer")
        own = own_tokenizer(cfg.encoder.get("text") or {}, stored.get("text_tokenizer"))
        reads = reads_words(cfg) and own is None  # type: ignore[arg-type]
        if not written and (reads or any(map(said, filter(None, cfg.head.values())))):
            raise CheckpointError(f"ckpt={cfg.ckpt}: {NO_TOKENIZER}")
        tokenizer = Tokenizer.from_json(written) if written else None
        return cls(modalities, preparation, tokenizer, own, DecodeLimits.of(data))

    def files(
        self, pieces: "Sequence[Piece]", names: Sequence[str], text: str | None
    ) -> "InputFiles":
        """Pieces of files as samples, whose ids are ``names``, each with the same ``text``."""
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
        )

    def texts(self, texts: Sequence[str]) -> "Samples":
        """Texts as samples that have nothing else, whose ids are their numbers from 0."""
        from mmtx_cli.data.dataset import Samples
        from mmtx_cli.data.manifest.sample import Sample

        return Samples(
            [Sample(str(i), "test", text=text) for i, text in enumerate(texts)],
            self.modalities,
            (),
            replace(self.preparation, text="text"),
            self.tokenizer,
            text_tokenizer=self.text_tokenizer,
        )


def described(piece: "Piece") -> dict[str, Any]:
    """The path, and the times of a piece, which count from the file's beginning."""
    if piece.start is None or piece.end is None:
        return {"path": piece.path}
    times = {"start": piece.start, "end": piece.end, "seconds": piece.end - piece.start}
    return {"path": piece.path, **{name: round(value, 3) for name, value in times.items()}}
