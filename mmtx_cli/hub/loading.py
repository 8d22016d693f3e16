"""State of the loading of pretrained models."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

READING: ContextVar[bool] = ContextVar("reading", default=False)
"""True while a model is built whose weights are in files of their own, which bound its size."""


@contextmanager
def reading_weights() -> Iterator[None]:
    """Mark the construction of a model as that of one with weights of its own."""
    token = READING.set(True)
    try:
        yield
    finally:
        READING.reset(token)
