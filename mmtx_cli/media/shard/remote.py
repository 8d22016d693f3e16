"""Shards on a server: whole shards are fetched into a local folder of bounded size.

The folder stands for the URL: a media path leads into it, and its shard is fetched when it is
opened. Which folders do so is only known from the user's own configuration. It is kept in the
environment, so that loader workers and decoding processes know it, whatever files say.
"""

import fcntl
import json
import os
import re
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.atomic import atomic_write
from mmtx_cli.io.redact import redacted_text
from mmtx_cli.media.shard.index import INDEX, ShardFacts, ShardIndex
from mmtx_cli.media.shard.members import ShardError

URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
VARIABLE = "MMTX_SHARD_FOLDERS"
"""Environment variable with the folders that stand for URLs, and their limits."""
DEFAULT_FOLDER = "~/.cache/mmtx/shards"
ATTEMPTS, PAUSE = 3, 1.0
"""Attempts to fetch a file, and seconds before the second; the pause doubles."""
_PART = 1 << 20
_AHEAD = 2  # shards fetched at once in the background


def is_url(root: str | None) -> bool:
    """Return True for a URL as the root of a data set."""
    return root is not None and URL.match(root) is not None


def attach(url: str, cache: str | None, gigabytes: float) -> str:
    """Return the local folder that stands for a URL, and fetch the index of its shards.

    Args:
        url: Folder of shards that fsspec can read, such as ``s3://bucket/folder``.
        cache: Folder for the shards of all URLs (default: ``~/.cache/mmtx/shards``).
        gigabytes: Limit of the size of all shards in it.

    Raises:
        ConfigError: if the URL cannot be read.
    """
    shown = redacted_text(url)
    try:
        import fsspec
    except ImportError as error:
        message = f"data.root={shown}: needs fsspec; pip install mmtx[shards]"
        raise ConfigError(message) from error
    protocol = url.partition("://")[0]
    if "::" in url or protocol not in fsspec.available_protocols():
        raise ConfigError(f"data.root={shown}: no file system for {protocol}://")
    base = Path(os.path.abspath(os.path.expanduser(cache or DEFAULT_FOLDER)))
    folder = base / blake2b(url.encode(), digest_size=8).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    known = _folders()
    known[str(folder)] = [url, round(gigabytes * 1e9)]
    os.environ[VARIABLE] = json.dumps(known)
    try:
        before = _facts_in(folder)
        _fetch(f"{url.rstrip('/')}/{INDEX}", folder / INDEX)
        after = _facts_in(folder)
        for name in before:
            if before[name] != after.get(name):  # replaced on the server, perhaps by as many bytes
                (folder / name).unlink(missing_ok=True)
    except ShardError as error:
        raise ConfigError(
            f"data.root={shown}: {error.reason}; make an index beside the shards with `mmtx data "
            "action=shard` or action=index before they are uploaded"
        ) from error
    return str(folder)


def _facts_in(folder: Path) -> dict[str, ShardFacts]:
    """Return what the index in a folder says about each shard; nothing without a valid index."""
    try:
        return {facts.name: facts for facts in ShardIndex(str(folder)).shards}
    except ShardError:
        return {}


def is_remote(path: str) -> bool:
    """Return True if a path of a shard leads into a folder that stands for a URL."""
    return VARIABLE in os.environ and os.path.dirname(path) in _folders()


def make_local(path: str, facts: ShardFacts) -> None:
    """Fetch a shard of a folder that stands for a URL, unless it is there; else do nothing.

    Several processes fetch it once. The least recently used shards are removed where the limit is
    exceeded.

    Raises:
        ShardError: if it cannot be fetched, or is not as it was indexed.
    """
    if VARIABLE not in os.environ:
        return
    folder = os.path.dirname(path)
    known = _folders().get(folder)
    if known is None:
        return
    url, limit = known
    if facts.bytes > limit:
        message = f"{facts.bytes:,} bytes, more than data.shard_cache_size, {limit:,} bytes"
        raise ShardError(path, message)
    with _locked(f"{path}.lock"):
        if not os.path.exists(path) or os.path.getsize(path) != facts.bytes:
            _make_room(Path(folder).parent, limit - facts.bytes, keep=path)
            _fetch(f"{url.rstrip('/')}/{facts.name}", Path(path), facts)
        with suppress(OSError):
            os.utime(path)  # the most recently used


def _folders() -> dict[str, list[Any]]:
    return json.loads(os.environ.get(VARIABLE, "{}"))


def _fetch(url: str, path: Path, facts: ShardFacts | None = None) -> None:
    import fsspec

    for attempt in range(ATTEMPTS):
        try:
            with fsspec.open(url, "rb") as source, atomic_write(path) as temporary:
                digest, size = blake2b(digest_size=16), 0
                with temporary.open("wb") as target:
                    while part := source.read(_PART):
                        target.write(part)
                        digest.update(part)
                        size += len(part)
                        if facts is not None and size > facts.bytes:
                            break
                if facts is not None:
                    _compare(str(path), url, facts, size, digest.hexdigest())
            return
        except ShardError:
            raise
        # file systems raise errors of many kinds; an error while writing is named as one
        except Exception as error:
            if attempt == ATTEMPTS - 1 or isinstance(error, FileNotFoundError):
                reason = " ".join(str(error).split()) or type(error).__name__
                message = redacted_text(f"cannot be fetched from {url}: {reason}")
                raise ShardError(str(path), message) from error
            time.sleep(PAUSE * 2**attempt)


def _compare(path: str, url: str, facts: ShardFacts, size: int, digest: str) -> None:
    if size != facts.bytes or facts.digest not in ("", digest):
        reason = "has another size" if size != facts.bytes else "has another content"
        raise ShardError(path, redacted_text(f"the shard at {url} {reason} than when indexed"))


def _make_room(base: Path, limit: int, keep: str) -> None:
    """Remove the least recently used shards of the registered folders below ``base``."""
    shards = []
    for folder in _folders():
        if Path(folder).parent == base and os.path.isdir(folder):
            with os.scandir(folder) as entries:
                shards += [e for e in entries if e.name.endswith(".tar") and e.path != keep]
    found = []
    for entry in shards:
        with suppress(OSError):
            if entry.is_file(follow_symlinks=False):
                status = entry.stat(follow_symlinks=False)
                found.append((status.st_mtime_ns, status.st_size, entry.path))
    total = sum(size for _, size, _ in found)
    for _, size, path in sorted(found):
        if total <= limit:
            break
        with suppress(FileNotFoundError):
            os.unlink(path)
        total -= size


@contextmanager
def _locked(path: str) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # closing is not enough: a process forked meanwhile has a copy of the descriptor
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


class ReadAhead:
    """Fetches the remote shards that are needed next."""

    def __init__(self) -> None:
        self.pool: ThreadPoolExecutor | None = None
        self.begun: dict[str, Future] = {}
        self.lock = threading.Lock()

    def begin(self, paths: Iterable[str]) -> None:
        """Begin in the background; a fault is reported when the shard is opened.

        Local shards are left to the system: it limits what it reads ahead of a request.
        """
        for path in filter(is_remote, paths):
            with self.lock:
                self.pool = self.pool or ThreadPoolExecutor(_AHEAD, "mmtx-shards")
                if path not in self.begun or self.begun[path].done():
                    self.begun[path] = self.pool.submit(_fetch_ahead, path)


def _fetch_ahead(path: str) -> None:
    from mmtx_cli.media.shard.member_file import index_of

    folder, name = os.path.split(path)
    with suppress(ShardError, OSError):
        make_local(path, index_of(folder).facts(name))
