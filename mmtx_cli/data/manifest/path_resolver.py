"""Resolution of manifest paths to absolute paths inside the manifest's root."""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path

from mmtx_cli.data.manifest.cell_parsers import is_encodable
from mmtx_cli.data.manifest.option_names import Keys
from mmtx_cli.errors import DataError
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.shard.member_file import place_of
from mmtx_cli.media.shard.reference import join_reference, name_fault, split_reference
from mmtx_cli.media.shard.remote import is_remote

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://|data:")
_PLAIN = re.compile(r"[^\x00./:]+(?:[./][^\x00./:]+)*")


class Root:
    """The folder that a manifest's paths are relative to and may not leave.

    This stops an untrusted manifest from reading files elsewhere through ``..``, absolute paths
    or symbolic links inside the root.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        allow_outside: bool,
        check_files: bool,
        keys: Keys,
    ):
        """Create a resolver.

        Args:
            folder: The root.
            allow_outside: Whether paths and links may leave the root.
            check_files: Whether files must exist.
            keys: Names of the configuration keys that messages refer to.
        """
        self.folder = os.path.abspath(folder)
        self.real = os.path.realpath(self.folder)
        self._allow_outside = allow_outside
        self._check_files = check_files
        self._keys = keys
        self._real_folders: dict[str, bool] = {}
        self._inside: dict[str, bool] = {}
        self._shards: dict[str, tuple[str, str | None]] = {}
        self.num_checked = 0
        """Number of files looked for."""
        self.missing: dict[str, str] = {}
        """Missing files, by the fault that reports each."""

    def resolve(self, path: str) -> tuple[str, str | None]:
        """Return the absolute path, and its fault or None."""
        if (parts := split_reference(path)) is not None:
            return self._resolve_member(path, *parts)
        full = f"{self.folder}{os.sep}{path}"
        if _PLAIN.fullmatch(path) is not None:
            if path.isascii() and self._is_plain_file(full, path):
                return full, None
        else:
            if "\0" in path:
                return path, f"path {path!r} contains a NUL character; use a file path"
            if not is_encodable(path):
                return path, f"path {path!r} contains a lone surrogate; use valid characters"
            if _URL.match(path):
                return path, f"{path} is a URL; download the file and use its path"
            full = os.path.normpath(os.path.join(self.folder, path))
        if not (path.isascii() or _is_name(path)):
            remedy = "set the environment variable PYTHONUTF8=1, or rename the file"
            return full, f"{path} is not a valid file name in this locale; {remedy}"
        outside = None if self._allow_outside else self._outside(full)
        if outside:
            remedy = f"move the file, set {self._keys.root}=…, or set {self._keys.outside}=true"
            return full, f"{path} {outside} {self.folder}; {remedy}"
        return full, self._absent(full, path) if self._check_files else None

    def _is_plain_file(self, full: str, path: str) -> bool:
        """Return True for a regular file in a folder known to lie inside; False if unknown.

        One system call answers for the usual file that it exists and is no link.
        """
        if not self._check_files:
            return False
        folder = path.rpartition("/")[0]
        if folder not in self._inside:
            self._inside[folder] = self._allow_outside or self._is_inside(os.path.dirname(full))
        try:
            is_file = self._inside[folder] and stat.S_ISREG(os.lstat(full).st_mode)
        except OSError:
            return False
        self.num_checked += is_file
        return is_file

    def _resolve_member(self, path: str, shard: str, member: str) -> tuple[str, str | None]:
        """Resolve a reference to a member of a tar shard; the shard is looked for once."""
        if shard not in self._shards:
            self._shards[shard] = self.resolve(shard)
        full, fault = self._shards[shard]
        reference = join_reference(full, member)
        if fault is None and (reason := name_fault(member)) is not None:
            fault = f"{path!r}: {reason}; use the name of a member of the shard"
        if fault is None and self._check_files:
            try:
                place_of(reference)
            except UnreadableError as error:
                fault = f"{reference}: {error.reason}"
        return reference, fault

    def _outside(self, full: str) -> str | None:
        if not (_within(full, self.folder) or _within(full, self.real)):
            return "is outside the root"
        folder = os.path.dirname(full) if full != self.folder else full
        if not self._is_inside(folder):
            return "follows a symlink out of the root"
        # checking the file itself for a link costs a call per file, so only with check_files
        linked = self._check_files and os.path.islink(full)
        if linked and not _within(os.path.realpath(full), self.real):
            return "is a symlink out of the root"
        return None

    def _is_inside(self, folder: str) -> bool:
        """Return False for a folder whose links lead out of the root."""
        if folder not in self._real_folders:
            self._real_folders[folder] = _within(os.path.realpath(folder), self.real)
        return self._real_folders[folder]

    def all_missing(self, missing: Sequence[str]) -> str:
        """Return one fault for nearly all files missing, with the key to set."""
        inside = all(_within(full, self.folder) for full in missing)
        share = "all" if len(missing) == self.num_checked else f"{len(missing)} of"
        where, remedy = (f" below {self.folder}", "") if inside else ("", "correct the paths, or ")
        return (
            f"{share} {self.num_checked} files are missing{where}, e.g. {missing[0]}; {remedy}set "
            f"{self._keys.files}=FOLDER to the folder that the paths are relative to"
        )

    def _absent(self, full: str, path: str) -> str | None:
        if is_remote(full):  # its index lists the members
            return None
        self.num_checked += 1
        try:
            mode = os.stat(full).st_mode
        except (FileNotFoundError, NotADirectoryError):
            remedy = f"fix the path, or set {self._keys.files}=… if the files are elsewhere"
            fault = f"file not found: {full}; {remedy}"
            self.missing[fault] = full
            return fault
        except OSError as error:
            return f"cannot access {full}: {error.strerror}; fix the path or its permissions"
        if not stat.S_ISREG(mode):
            return f"{full} is not a regular file; use the path of a file"
        return None


def _is_name(path: str) -> bool:
    """Return True if the file system's encoding, set by the locale, has all characters."""
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        return False
    return True


def card_folder(
    manifest: Path, card: Path | None, root: str | None, *, allow_outside: bool, keys: Keys
) -> Path:
    """Return the root given by a dataset card, else the manifest's folder.

    The card comes with the data set and is untrusted, so its root must lie in the manifest's
    folder.

    Args:
        manifest: Path of the manifest.
        card: Path of the card, for messages.
        root: The card's root, relative to the manifest's folder.
        allow_outside: Whether the root may lie outside that folder.
        keys: Names of the configuration keys that messages refer to.

    Raises:
        DataError: if the root lies outside and ``allow_outside`` is False, or is not a path.
    """
    home = Path(os.path.abspath(manifest.parent))
    if root is None:
        return home
    if "\0" in root or not is_encodable(root):
        raise DataError(f"{card}: root {root!r} is not a path; use the path of a folder")
    folder = home / root
    inside = _within(os.path.abspath(folder), os.path.abspath(home))
    real = _within(os.path.realpath(folder), os.path.realpath(home))
    if not allow_outside and not (inside and real):
        raise DataError(
            f"{card}: root {root} is outside the folder of the manifest, {home}; if you trust "
            f"the card, set {keys.root}={folder} or set {keys.outside}=true"
        )
    return folder


def _within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder.endswith(os.sep) else folder + os.sep)
