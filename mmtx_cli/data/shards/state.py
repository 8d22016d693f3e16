"""The state of a shard's content, by which a resumed run notices that it was replaced."""

import os

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.shard.member_file import index_of


def shard_state(path: str) -> str:
    """Return the digest of a shard in its index, or size and time of a shard that has none."""
    folder, name = os.path.split(path)
    try:
        facts = index_of(folder).facts(name)
    except UnreadableError:  # reported when it is read
        return "unreadable"
    return facts.digest or f"{facts.bytes} {facts.mtime_ns}"
