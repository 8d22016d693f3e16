"""The loop that generates the texts of a batch with any decoder and any search method.

Inputs that are finished leave the batch.

Shape letters: b inputs, k rows per input, r = b * k, v vocabulary.
"""

from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Int, UInt64

from mmtx_cli.generation.numpy.method import Method
from mmtx_cli.generation.numpy.texts import Texts

KEPT = 0.75
"""Share of unfinished inputs below which the finished ones leave the batch."""


@runtime_checkable
class Steps(Protocol):
    """A decoder with its cache."""

    def step(
        self, tokens: Int[np.ndarray, "b k"], rows: Int[np.ndarray, " r"]
    ) -> Float[np.ndarray, "b k v"]:
        """Return the logits of the token after ``tokens``; row i continues row ``rows[i]``."""

    def keep(self, inputs: Int[np.ndarray, " m"]) -> None:
        """Keep the contexts of some inputs; the next step's ``rows`` are of the former ones."""


def search(decoder: Steps, method: Method, keys: UInt64[np.ndarray, " b"]) -> Texts:
    """Return the texts of all inputs.

    Args:
        decoder: Generates one token at a time; it has read the inputs.
        method: How tokens are chosen.
        keys: Random keys of the inputs.
    """
    now = method.begin(keys)
    finished = method.results(now)  # filled in as inputs end
    index, yielded = np.arange(len(keys)), np.zeros(len(keys), dtype=bool)
    rows = np.arange(len(keys) * method.rows)
    while True:
        logits = decoder.step(now.last, rows)
        origin = method.advance(now, logits)
        first = np.arange(len(index))[:, None] * method.rows
        own = np.arange(method.rows) if origin is None else origin
        rows = (first + own).ravel()
        new = (~yielded & (now.done | (now.length >= method.steps))).nonzero()[0]
        if not len(new):
            continue
        texts = method.results(now.only(new))
        for name, values in vars(texts).items():
            getattr(finished, name)[index[new]] = values
        now.group_done[new], yielded[new] = True, True
        kept = (~yielded).nonzero()[0]
        if not len(kept):
            return finished
        if len(kept) <= KEPT * len(yielded):
            decoder.keep(kept)
            now, index, yielded = now.only(kept), index[kept], yielded[kept]
            rows = rows.reshape(-1, method.rows)[kept].ravel()
