"""Which part of a sound is wanted, in samples."""

from mmtx_cli.data.unreadable import UnreadableError


def span(
    path: str,
    length: int,
    sample_rate: int,
    seconds: float | None,
    start: float | None,
    end: float | None,
    offset: float | None,
) -> tuple[int, int]:
    """First sample and the one behind the last, of ``length`` at ``sample_rate``.

    The part from ``start`` to ``end`` (seconds; as far as the sound goes), and of that at most
    ``seconds``, beginning at the ``offset``-th part of the room there is; None is the centre.

    Raises:
        UnreadableError: if nothing is there.
    """
    if start is not None and start * sample_rate >= length:
        reason = f"start {start:g} s is beyond the end at {length / sample_rate:g} s"
        raise UnreadableError(path, reason)
    first = 0 if start is None else round(start * sample_rate)
    last = length if end is None else min(length, round(end * sample_rate))
    if seconds is not None:
        room = last - first - round(seconds * sample_rate)
        if room > 0:
            first += room // 2 if offset is None else min(room, int(offset * (room + 1)))
            last = first + round(seconds * sample_rate)
    if first >= last:
        raise UnreadableError(path, f"no sound between {start or 0.0:g} s and {end:g} s")
    return first, last
