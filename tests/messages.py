"""What a message holds, in whatever sentence: its place, the value, the near match, the remedy."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

MISSING = re.compile(r"no such|not exist|not found|missing|absent", re.I)


def mentions(message: object, *parts: object) -> None:
    """Every part occurs in the message."""
    missing = [str(part) for part in parts if str(part) not in str(message)]
    assert not missing, f"{missing} not in the message: {message}"


def faults_mention(found: Sequence[object], *expected: Sequence[object]) -> None:
    """There are as many faults as expected, in that order, and each begins with the first of its
    parts, its place, and mentions the others.
    """
    assert len(found) == len(expected), list(found)
    for fault, (place, *parts) in zip(found, expected, strict=True):
        assert str(fault).startswith(str(place)), fault
        mentions(fault, *parts)


def mentions_missing(message: object) -> None:
    """The message is of something that is not there, such as a file."""
    assert MISSING.search(str(message)), message


@contextmanager
def raises(kind: type[Exception], *parts: object) -> Iterator[pytest.ExceptionInfo]:
    """An error of that kind is raised, and its message mentions every part."""
    with pytest.raises(kind) as caught:
        yield caught
    mentions(caught.value, *parts)
