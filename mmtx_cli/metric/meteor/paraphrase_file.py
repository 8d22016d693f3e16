"""METEOR's file of paraphrases, and the compact form of it that is kept in the user's cache."""

import gzip
import math
import os
import zipfile
import zlib
from collections import defaultdict
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from mmtx_cli.errors import DataError, MmtxError, RunError
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.untrusted.bounded_file import RefusedFileError, check_regular
from mmtx_cli.io.untrusted.zip_file import check_index, check_packing
from mmtx_cli.metric.meteor.paraphrases import MAX_WORDS, ParaphraseTable, build_table

MAX_BYTES = 2**30
"""Size limit of a file of paraphrases, compressed or not; the English one has 272 MB."""
_BLOCK = 2**24
_FORM = 1
"""Number of the compact form, part of the name of the file."""


def read_paraphrases(path: Path) -> ParaphraseTable:
    """Return the paraphrases of a file ``paraphrase-LANGUAGE.gz`` of METEOR 1.5.

    The compact form is read from the user's cache folder (``$XDG_CACHE_HOME/mmtx``), or written to
    it if that is possible. It belongs to the content of the file, by size and checksum.

    Raises:
        DataError: if the file is not one of METEOR, damaged or too large.
    """
    try:
        kept = _cache_folder() / f"{path.name.removesuffix('.gz')}-{_identity(path)}.npz"
        table = _read_compact(kept) if kept.exists() else None
        if table is None:
            table = _parsed(path)
            _keep(table, kept)
    except (OSError, EOFError, zlib.error, RefusedFileError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as paraphrases of METEOR 1.5: {error}") from error
    return table


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(base) if os.path.isabs(base) else Path.home() / ".cache") / "mmtx"


def _identity(path: Path) -> str:
    """Return what distinguishes the content: sizes and checksum, which end a gzip file."""
    size = check_regular(path)
    if size > MAX_BYTES:
        raise RefusedFileError(f"larger than {MAX_BYTES:,} bytes")
    with open(path, "rb") as file:
        file.seek(max(size - 8, 0))
        return f"{size:x}-{file.read(8).hex()}-{_FORM}"


def _parsed(path: Path) -> ParaphraseTable:
    """Read the file: three lines a pair, a probability and the two phrases."""
    phrase_numbers: dict[bytes, int] = defaultdict(count().__next__)
    references: list[np.ndarray] = []
    paraphrases: list[np.ndarray] = []
    rest, read, number = b"", 0, 1
    with gzip.open(path) as file:
        while block := file.read(_BLOCK):
            read += len(block)
            if read > MAX_BYTES:
                raise RefusedFileError(f"larger than {MAX_BYTES:,} bytes when unpacked")
            lines = (rest + block).split(b"\n")
            whole = (len(lines) - 1) // 3 * 3
            rest = b"\n".join(lines[whole:])
            _check(path, number, lines[:whole])
            number += whole
            for side, numbers in ((1, references), (2, paraphrases)):
                own = map(phrase_numbers.__getitem__, lines[side:whole:3])
                numbers.append(np.fromiter(own, np.int32, whole // 3))
    if rest.strip() or not phrase_numbers:
        raise RefusedFileError("it does not consist of triples of lines")
    phrases = list(phrase_numbers)
    phrase_numbers.clear()
    lengths = np.array([phrase.count(b" ") for phrase in phrases], dtype=np.int64) + 1
    if lengths.max() > MAX_WORDS:
        raise RefusedFileError(f"a phrase of more than {MAX_WORDS} words")
    word_numbers: dict[bytes, int] = defaultdict(count().__next__)
    tokens = np.fromiter(
        map(word_numbers.__getitem__, b" ".join(phrases).split(b" ")), np.int64, lengths.sum()
    )
    words = [word.decode("utf-8") for word in word_numbers]
    return build_table(
        words, (tokens, lengths), np.concatenate(references), np.concatenate(paraphrases)
    )


def _check(path: Path, number: int, lines: list[bytes]) -> None:
    """Raise DataError at the first triple without a probability or a phrase.

    ``number`` is that of the first line.
    """
    try:
        probabilities = np.fromiter(map(float, lines[::3]), np.float64, len(lines) // 3)
        if np.isfinite(probabilities).all() and all(lines[1::3]) and all(lines[2::3]):
            return
    except ValueError:
        pass
    for at, line in enumerate(lines):
        what = "a phrase" if at % 3 else "a probability"
        if not line if at % 3 else not _is_number(line):
            raise DataError(
                f"{path}:{number + at}: expected {what}, not {line[:40].decode(errors='replace')!r}"
                "; it is not a file of paraphrases of METEOR 1.5, or a damaged one"
            )


def _is_number(line: bytes) -> bool:
    try:
        return math.isfinite(float(line))
    except ValueError:
        return False


def _keep(table: ParaphraseTable, path: Path) -> None:
    """Write the compact form; without a place for it, the file is parsed again the next time."""
    arrays: dict[str, Any] = {f"level{at}": keys for at, keys in enumerate(table.levels)}
    arrays |= {"first": table.first, "paraphrases": table.paraphrases}
    arrays["words"] = np.frombuffer("\n".join(table.words).encode(), np.uint8)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **arrays)
    except (OSError, MmtxError, RunError):
        return


def _read_compact(path: Path) -> ParaphraseTable | None:
    """Return the table of a compact file; None if it is damaged."""
    try:
        if check_regular(path) > MAX_BYTES:
            return None
        check_index(path)
        with zipfile.ZipFile(path) as archive:
            check_packing(archive)
        with np.load(path, allow_pickle=False) as arrays:
            levels = [arrays[f"level{at}"] for at in range(len(arrays.files) - 3)]
            words = arrays["words"].tobytes().decode("utf-8").split("\n")
            table = ParaphraseTable(words, levels, arrays["first"], arrays["paraphrases"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None
    return table if _is_sound(table) else None


def _is_sound(table: ParaphraseTable) -> bool:
    """Return whether all numbers refer to something in the table."""
    integers = [*table.levels, table.first, table.paraphrases]
    if any(part.ndim != 1 or part.dtype.kind != "i" for part in integers):
        return False
    nodes = len(table.words) + sum(map(len, table.levels))
    first, paraphrases = table.first, table.paraphrases
    return bool(
        len(first) == nodes + 1
        and first[0] == 0
        and first[-1] == len(paraphrases)
        and (np.diff(first) >= 0).all()
        and (not len(paraphrases) or 0 <= paraphrases.min() <= paraphrases.max() < nodes)
    )
