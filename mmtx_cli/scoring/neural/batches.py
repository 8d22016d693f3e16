"""Encode many texts or files in batches: each different one once, similar lengths together."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from jaxtyping import Float, Int

from mmtx_cli.errors import ConfigError
from mmtx_cli.io.progress import track

Item = TypeVar("Item", bound=Hashable)


@dataclass(frozen=True)
class Vectors(Generic[Item]):
    """One vector for each different item.

    Args:
        unit: [u, d] vectors of length 1, float32.
        row: The row of each item.
    """

    unit: Float[np.ndarray, "u d"]
    row: dict[Item, int]

    def rows(self, items: Sequence[Item]) -> Int[np.ndarray, " n"]:
        """Return the row of each of the items."""
        return np.fromiter((self.row[item] for item in items), np.intp, len(items))


def encode(
    items: Sequence[Item],
    length: Callable[[Sequence[Item]], Sequence[int]],
    vectors: Callable[[list[Item]], Float[np.ndarray, "b d"]],
    batch_size: int,
    what: str,
    known: Vectors[Item] | None = None,
) -> Vectors[Item]:
    """Return the vectors of the items, scaled to length 1, and those that were known before.

    The longest come first, so that a lack of memory shows at once.

    Args:
        items: Texts or files, in any order, which may be repeated.
        length: Returns how much work each item is; items of similar lengths share a batch.
        vectors: Encodes a batch.
        batch_size: Items per batch.
        what: Label of the progress bar.
        known: Vectors of items that need not be encoded again.

    Raises:
        ConfigError: if the model gives values that are not finite.
    """
    row = {} if known is None else known.row
    different = [item for item in dict.fromkeys(items) if item not in row]
    if not different and known is not None:
        return known
    lengths = np.asarray(length(different))
    order = np.argsort(-lengths, kind="stable")
    parts = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    found: np.ndarray | None = None
    for part in track(parts, len(parts), what):
        values = vectors([different[i] for i in part])
        if not np.isfinite(values).all():
            raise ConfigError(f"{what}: the model gives values that are not finite; use another")
        if found is None:
            found = np.empty((len(different), values.shape[1]), np.float32)
        found[part] = unit(values)
    assert found is not None, "no items"
    new = {item: len(row) + i for i, item in enumerate(different)}
    every = found if known is None else np.concatenate([known.unit, found])
    return Vectors(every, row | new)


def unit(values: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Return vectors of length 1, or 0 where there is no direction, in float32."""
    exact = values.astype(np.float64)
    norm = np.linalg.norm(exact, axis=-1, keepdims=True)
    return (exact / np.where(norm > 0, norm, 1)).astype(np.float32)
