"""Checks of untrusted zip archives: size of the index and compression of the members."""

import os
import zipfile

from mmtx_cli.io.untrusted.bounded_file import RefusedFileError

MAX_INDEX_BYTES = 64 * 2**20
"""Size limit of an archive's index: entries take ten times as much memory as in the file."""


def check_index(path: str | os.PathLike[str]) -> None:
    """Check the size of an archive's index before Python reads it; files without one pass.

    Raises:
        RefusedFileError: if the index is too large.
    """
    with open(path, "rb") as file:
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    if end is not None and end[zipfile._ECD_SIZE] > MAX_INDEX_BYTES:  # type: ignore[attr-defined]
        raise RefusedFileError(f"its index is larger than {MAX_INDEX_BYTES:,} bytes")


def check_packing(archive: zipfile.ZipFile) -> None:
    """Check that members are compressed as by numpy: some other methods unpack very slowly.

    Raises:
        RefusedFileError: if one is not, naming the first.
    """
    for entry in archive.infolist():
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise RefusedFileError(
                f"{entry.filename} is compressed with a method that numpy never uses"
            )
