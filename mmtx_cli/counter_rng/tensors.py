"""Counter-based random numbers for each sample.

The random numbers of a sample depend only on the seed, the epoch or step, and the sample's id, so
that any number of workers and processes, and a resumed run, draw the same ones. Data loading
computes them with NumPy, a model on its device, both with SplitMix64.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mmtx_cli.counter_rng.bits import (
    GAMMA,
    MULTIPLIERS,
    SHIFTS,
    UNIFORM_BITS,
    id_keys,
    random_bits,
)

REPLACED: list[Callable[[Tensor, int, str], Tensor]] = []
"""Functions that replace ``uniform``, the last one first (``model/earlier.py``)."""


def id_tensor(ids: Iterable[str]) -> Int[Tensor, " n"]:
    """Return ``id_keys`` as int64, since torch supports few operations on uint64."""
    return torch.from_numpy(id_keys(ids).view(np.int64))


def step_keys(keys: Int[Tensor, " b"], seed: int, step: int) -> Int[Tensor, " b"]:
    """Return the keys of the samples for a training step."""
    zero_key = np.zeros(1, dtype=np.uint64)
    return mix_tensor(keys ^ int(random_bits(seed, step, zero_key).view(np.int64)[0]))


def mix_tensor(x: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """Apply ``mix`` to int64 in two's complement."""
    x = x + signed(GAMMA)
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        x = (x ^ shifted(x, shift)) * signed(multiplier)
    return x ^ shifted(x, SHIFTS[-1])


def shifted(x: Int[Tensor, "*n"], bits: int) -> Int[Tensor, "*n"]:
    """Shift right logically, filling with zeros."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def signed(bits: int) -> int:
    """Reinterpret an unsigned 64-bit integer in two's complement."""
    return bits - 2**64 if bits >= 2**63 else bits


def uniform(keys: Int[Tensor, "*b"], n: int, purpose: str) -> Float[Tensor, "*b n"]:
    """Return ``n`` uniform numbers in [0, 1) for each key.

    A larger ``n`` appends numbers to the same sequence. Different purposes give independent
    numbers.
    """
    if REPLACED:
        return REPLACED[-1](keys, n, purpose)
    counters = torch.arange(n, device=keys.device) * signed(GAMMA)
    stream = signed(int(id_keys([purpose])[0]))
    bits = mix_tensor(mix_tensor(keys ^ stream)[..., None] + counters)
    return shifted(bits, 64 - UNIFORM_BITS).float() * 2.0**-UNIFORM_BITS
