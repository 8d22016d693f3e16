"""The state of a shard's content, by which a resumed run notices that it was replaced."""

import os

from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.shard.member_file import index_of
from mmtx_cli.media.shard.reference import split_reference


def shard_state(path: str, known: dict[str, str]) -> str:
    """Return the digest of the shard that a path refers into; "" for an ordinary file.

    That is the digest in the index, or size and modification time if the shard was only scanned.
    ``known`` holds the states of shards by path.
    """
    parts = split_reference(path)
    if parts is None:
        return ""
    if parts[0] not in known:
        folder, name = os.path.split(parts[0])
        try:
            facts = index_of(folder).facts(name)
        except UnreadableError:  # reported when it is read
            return "unreadable"
        known[parts[0]] = facts.digest or f"{facts.bytes} {facts.mtime_ns}"
    return known[parts[0]]
