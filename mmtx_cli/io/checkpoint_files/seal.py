"""A digest of every byte of a checkpoint, in the comment that ends its archive.

The CRCs of a zip archive cover the contents of its members only. The seal also covers headers,
padding and index. It is part of the file, so that both are replaced at once, and readers of zip
archives, such as ``torch.load``, skip the comment. A checkpoint that is a folder has the checksums
of its files in ``checksums.json``; its ``meta.pt`` has a seal, which states the step.
"""

import os
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import IO, Any

from mmtx_cli.errors import CheckpointError
from mmtx_cli.io.sharded.folder import CHECKSUMS, META, check_files, read_checksums
from mmtx_cli.io.untrusted.bounded_file import check_regular
from mmtx_cli.io.untrusted.checksums import damaged_entry
from mmtx_cli.io.untrusted.torch_file import check_archive

END_BYTES = 22
"""Size of the record that ends a zip archive, without its comment."""
END_MARK = b"PK\x05\x06"
SEAL_BYTES = 116
_SEAL = re.compile(rb"mmtx step=(\d{12}) bytes=(\d{15}) sha256=([0-9a-f]{64})")
_BLOCK = 2**20
_INTACT: set[tuple[int, ...]] = set()
"""Files that this process has verified: each is read in full only once."""


@dataclass(frozen=True)
class Seal:
    """What a seal states: the step of the checkpoint, and size and digest of the rest of it."""

    step: int
    size: int
    digest: str
    """SHA-256 of the rest of the file, followed by ``facts``."""

    @property
    def facts(self) -> bytes:
        """The beginning of the seal, which the digest covers, too."""
        return f"mmtx step={self.step:012d} bytes={self.size:015d} sha256=".encode()

    def encode(self) -> bytes:
        """Return the comment of the archive."""
        return self.facts + self.digest.encode()


class SealedWriter:
    """A stream that appends a seal to the zip archive that is written to it.

    torch writes an archive from front to back. The record that ends it is held back: it states the
    length of the comment.
    """

    def __init__(self, file: IO[bytes], step: int) -> None:
        """Write to ``file``; ``step`` is the step of the checkpoint."""
        self.file, self.step = file, step
        self.hash, self.size, self.held = sha256(), 0, b""
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Write bytes; keep the error of a failed write, which torch replaces by another."""
        view = memoryview(data).cast("B")
        try:
            if len(view) > END_BYTES:
                self._pass_on(self.held)
                self._pass_on(view[:-END_BYTES])
                self.held = bytes(view[-END_BYTES:])
            else:
                both = self.held + bytes(view)
                self._pass_on(both[:-END_BYTES])
                self.held = both[-END_BYTES:]
        except OSError as error:
            self.error = self.error or error
            raise
        return len(view)

    def flush(self) -> None:
        """Do nothing: ``close`` writes the rest."""

    def close(self) -> None:
        """Write the end of the archive with the seal as its comment, and sync the file."""
        assert self.held.startswith(END_MARK), "not the end of a zip archive"
        self._pass_on(self.held[:-2] + SEAL_BYTES.to_bytes(2, "little"))
        self.hash.update(Seal(self.step, self.size, "").facts)
        self.file.write(Seal(self.step, self.size, self.hash.hexdigest()).encode())
        self.file.flush()
        os.fsync(self.file.fileno())

    def _pass_on(self, data: Any) -> None:
        self.file.write(data)
        self.hash.update(data)
        self.size += len(data)


def write_sealed(path: Path, save: Callable[[Any], None], step: int) -> None:
    """Let ``save`` write a zip archive to a stream, and sync it to ``path`` with a seal.

    Raises:
        OSError: if it cannot be written.
    """
    with open(path, "wb") as file:
        writer = SealedWriter(file, step)
        try:
            save(writer)
        except RuntimeError as error:
            if writer.error is None:
                raise
            raise writer.error from error
        writer.close()


def read_seal(path: Path) -> Seal | None:
    """Return the seal of a checkpoint, which is not verified; None if it has none."""
    try:
        with open(path / META if path.is_dir() else path, "rb") as file:
            file.seek(-SEAL_BYTES, os.SEEK_END)
            match = _SEAL.fullmatch(file.read())
    except OSError:  # missing, or shorter than a seal
        return None
    return Seal(int(match[1]), int(match[2]), match[3].decode()) if match else None


def damage(path: Path) -> str | None:
    """Return what of a checkpoint does not match its checksum, None if it is intact.

    A file without a seal is of an earlier version of mmtx, or was written by another program; only
    the CRCs of its members are verified. A file is read in full only once in a process, as long as
    it does not change.

    Raises:
        RefusedFileError: if it is neither a regular file nor a folder with valid checksums.
        zipfile.BadZipFile, OSError and others: if it is not a zip archive, or cannot be read.
    """
    if (path / CHECKSUMS).is_file():
        return _damage_of_folder(path)
    check_regular(path)
    status = os.stat(path)
    state = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if state in _INTACT:
        return None
    found = _damage_of_file(path)
    if found is None:
        _INTACT.add(state)
    return found


def _damage_of_file(path: Path) -> str | None:
    seal = read_seal(path)
    if seal is None:
        check_archive(path)
        return damaged_entry(path) or _cut_off(path)
    if _sha256(path, seal) == seal.digest and path.stat().st_size == seal.size + SEAL_BYTES:
        return None
    try:
        check_archive(path)
        return damaged_entry(path) or "its header"
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError, RuntimeError):
        return "its index"


def _cut_off(path: Path) -> str | None:
    """Return what is damaged of an archive without a seal that does not end as torch's do."""
    with open(path, "rb") as file:
        file.seek(-END_BYTES, os.SEEK_END)
        end = file.read()
    return None if end.startswith(END_MARK) and end.endswith(b"\0\0") else "its end"


def _sha256(path: Path, seal: Seal) -> str:
    """Return the digest of what a seal covers."""
    digest, size = sha256(), seal.size
    with open(path, "rb", buffering=0) as file:
        while size > 0 and (block := file.read(min(_BLOCK, size))):
            digest.update(block)
            size -= len(block)
    digest.update(seal.facts)
    return digest.hexdigest()


def _damage_of_folder(folder: Path) -> str | None:
    try:
        check_files(folder, listed := read_checksums(folder), listed)
    except CheckpointError as error:
        return str(error)
    return None
