"""Results of the Python API, one per input."""

from collections.abc import Iterable, Sequence
from typing import Any, TypedDict

import numpy as np

from mmtx_cli.errors import ConfigError, DataError, truncate


class Word(TypedDict):
    """A word of a caption, with its probability by the model."""

    word: str
    probability: float


class Caption(TypedDict, total=False):
    """A caption, with the keys of a line of ``mmtx caption``; those that do not apply are absent.

    Keys: ``path`` (of a file), ``start``, ``end`` and ``seconds`` (of a segment), ``text`` (what
    was read with the input), ``caption``, ``score`` (log-probability per token), ``words`` (with
    ``token_scores=True``), ``alternatives`` (with ``num_return_sequences``), ``unmet`` (constraints
    that the caption does not satisfy), ``error`` (why there is no caption).
    """

    path: str
    start: float
    end: float
    seconds: float
    text: str
    caption: str
    score: float
    words: list[Word]
    alternatives: list["Caption"]
    unmet: list[str]
    error: str


class Explained(Caption, total=False):
    """A caption with the heat maps of its words.

    ``maps`` has by modality an array of which one entry belongs to each of ``words``: ``image``
    [words, h, w], or [words, l, h, w] of l pictures; ``video`` [words, t, h, w]; ``audio`` [words,
    time, freq] or [words, time]. The values of a word sum to 1 over all its maps. They cover the
    square that the model reads of a picture, or the recording up to ``audio_seconds``.
    """

    maps: dict[str, np.ndarray]


def raise_unread(
    errors: str, reasons: Iterable[tuple[int, str | None]], pieces: Sequence[Any]
) -> None:
    """Raise DataError with the inputs that have no result, unless their errors are returned.

    Args:
        errors: ``raise`` or ``return``.
        reasons: Index of each such input, and the reason.
        pieces: All inputs.

    Raises:
        ConfigError: if ``errors`` is neither.
    """
    if errors == "return":
        return
    if errors != "raise":
        raise ConfigError(f"errors={errors!r}: must be raise or return")
    faults = [
        f"{getattr(pieces[i], 'path', f'inputs[{i}]')}: {reason}" for i, reason in reasons if reason
    ]
    if faults:
        raise DataError(*truncate(faults))
