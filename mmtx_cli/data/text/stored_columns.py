"""Tokenized texts of tables: computed once, block by block, and then mapped."""

import json
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from mmtx_cli.data.manifest.table.derived import mapped_arrays, stored_folder, write_arrays
from mmtx_cli.data.manifest.table.samples import SampleTable

FACTS = "facts.json"
_BLOCK = 2**15
"""Samples whose texts are tokenized at once, by all threads of the tokenizer."""

Texts = Callable[[], Iterable[tuple[Sequence[str], Sequence[float] | None]]]
"""Returns the texts of each sample, and their weights if they have any."""


@runtime_checkable
class TextEncoder(Protocol):
    """Converts texts to token ids."""

    def encode_measured(
        self, texts: Sequence[str], max_length: int
    ) -> tuple[list[list[int]], list[int]]:
        """Return the tokens of each text, and their number before truncation."""


def stored_arrays(
    table: SampleTable, texts: Texts, encoder: TextEncoder, settings: object, max_length: int
) -> tuple[dict[str, np.ndarray], dict[str, int]]:
    """Return the arrays of a ``TextColumn``, mapped, and its numbers.

    Args:
        table: The samples.
        texts: Returns their texts.
        encoder: The tokenizer.
        settings: What the tokens follow from besides the samples and ``max_length``.
        max_length: Maximum number of tokens of a text.
    """

    def make(folder: Path) -> None:
        facts = _write(folder, texts(), encoder, max_length)
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    folder = stored_folder(table, "tokens", (settings, max_length), make)
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    return mapped_arrays(folder), facts


def _write(
    folder: Path,
    rows: Iterable[tuple[Sequence[str], Sequence[float] | None]],
    encoder: TextEncoder,
    max_length: int,
) -> dict[str, int]:
    facts = {"longest": 0, "num_cut": 0}
    num_tokens = num_texts = 0
    total: Any = None  # of the weights
    write_arrays(folder, {name: np.zeros(1, dtype=np.int64) for name in ("ends", "first")})
    write_arrays(folder, {"tokens": np.zeros(0, dtype=np.int32)})
    iterator = iter(rows)
    while block := list(islice(iterator, _BLOCK)):
        flat = [text for texts, _ in block for text in texts]
        encoded, lengths = encoder.encode_measured(flat, max_length)
        facts["longest"] = max([facts["longest"], *lengths])
        facts["num_cut"] += sum(length > max_length for length in lengths)
        ends = num_tokens + np.cumsum([len(tokens) for tokens in encoded], dtype=np.int64)
        first = num_texts + np.cumsum([len(texts) for texts, _ in block], dtype=np.int64)
        tokens = np.fromiter(chain.from_iterable(encoded), dtype=np.int32)
        write_arrays(folder, {"tokens": tokens, "ends": ends, "first": first})
        num_tokens, num_texts = num_tokens + len(tokens), num_texts + len(flat)
        if block[0][1] is not None:
            if total is None:
                total = np.zeros(1)
                write_arrays(folder, {"cumulative_weights": total})
            weights = [weight for _, row in block for weight in row or ()]
            sums = np.cumsum([total[-1], *weights])[1:]
            write_arrays(folder, {"cumulative_weights": sums})
            total = sums if len(sums) else total
    return facts
