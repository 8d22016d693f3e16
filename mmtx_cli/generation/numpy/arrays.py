"""Operations on arrays that NumPy has not by itself."""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped


def log_softmax(x: Float[np.ndarray, "*b v"]) -> Float[np.ndarray, "*b v"]:
    """Return the logarithm of the softmax over the last axis."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def softmax(x: Float[np.ndarray, "*b v"]) -> Float[np.ndarray, "*b v"]:
    """Return the softmax over the last axis."""
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def largest(
    x: Float[np.ndarray, "b n"], count: int
) -> tuple[Float[np.ndarray, "b {count}"], Int[np.ndarray, "b {count}"]]:
    """Return the ``count`` largest values of each row, the largest first, and their indices."""
    index = np.argpartition(-x, count - 1, axis=1)[:, :count] if count < x.shape[1] else None
    if index is None:
        index = np.broadcast_to(np.arange(count), (len(x), count))
    values = np.take_along_axis(x, index, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    return np.take_along_axis(values, order, axis=1), np.take_along_axis(index, order, axis=1)


def gather_rows(
    x: Shaped[np.ndarray, "b k *n"], index: Int[np.ndarray, "b m"]
) -> Shaped[np.ndarray, "b m *n"]:
    """Return ``x[i, index[i, j]]``."""
    return x[np.arange(len(x))[:, None], index]


def occurs(
    index: Int[np.ndarray, "b k n"], there: Bool[np.ndarray, "b k n"], size: int
) -> Bool[np.ndarray, "b k {size}"]:
    """Return which of ``size`` tokens are in ``index`` where ``there`` is True."""
    found = np.zeros((*index.shape[:2], size), dtype=bool)
    b, k, n = there.nonzero()
    found[b, k, index[b, k, n]] = True
    return found
