"""References to members of tar shards: ``/data/000000.tar::000001.jpg``."""

MARK = ".tar::"
_SUFFIX = len(MARK) - len("::")


def is_reference(path: str) -> bool:
    """Return True if a path refers to a member of a tar shard."""
    return MARK in path


def split_reference(path: str) -> tuple[str, str] | None:
    """Return the path of the shard and the name of the member; None for an ordinary path."""
    at = path.find(MARK)
    return None if at < 0 else (path[: at + _SUFFIX], path[at + len(MARK) :])


def join_reference(shard: str, member: str) -> str:
    """Return the reference to a member of a shard, whose path ends in ``.tar``."""
    return f"{shard}::{member}"


def name_fault(member: str) -> str | None:
    """Return why a name is not accepted as that of a member; None for a plain relative path."""
    if not member or "\0" in member or not member.isprintable():
        return "its name is empty or contains control characters"
    if member.startswith("/") or any(part in ("", ".", "..") for part in member.split("/")):
        return "its name is not a plain relative path"
    return None
