"""What an index of a zip may be before Python reads it, and how its members may be packed."""

import os
import zipfile

from mmtx_cli.io.untrusted_file import RefusedFileError

MAX_INDEX_BYTES = 64 * 2**20
"""Size limit of an archive's index: an entry takes ten times as much in memory as in the file."""


def check_index(path: str | os.PathLike[str]) -> None:
    """Refuse an archive whose index is too large; one without an index is none.

    Raises:
        RefusedFileError: naming the limit.
    """
    with open(path, "rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is not None and end[zipfile._ECD_SIZE] > MAX_INDEX_BYTES:  # type: ignore[attr-defined]
        raise RefusedFileError(f"its index is larger than {MAX_INDEX_BYTES:,} bytes")


def check_packing(archive: zipfile.ZipFile) -> None:
    """Refuse members that are packed otherwise than numpy does: some ways unpack very slowly.

    Raises:
        RefusedFileError: naming the first.
    """
    for entry in archive.infolist():
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RefusedFileError(f"{entry.filename} is compressed as numpy never does")
