"""Counter-based random numbers for each sample.

The random numbers of a sample depend only on the seed, the epoch or step, and the sample's id, so
that any number of workers and processes, and a resumed run, draw the same ones. Data loading
computes them with NumPy, a model on its device, both with SplitMix64.
"""

import hashlib
from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from torch import Tensor

GAMMA = 0x9E3779B97F4A7C15
MULTIPLIERS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
SHIFTS = 30, 27, 31
REPLACED: list[Callable[[Tensor, int, str], Tensor]] = []
"""Functions that replace ``uniform``, the last one first (``model/earlier.py``)."""


def id_keys(ids: Iterable[str]) -> UInt64[np.ndarray, " n"]:
    """Return a 64-bit hash of each sample id, the same on every machine."""
    digests = (
        hashlib.blake2b(i.encode("utf-8", "surrogateescape"), digest_size=8).digest() for i in ids
    )
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def mix(x: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """Apply the SplitMix64 finalizer (Steele, Lea and Flood 2014): every bit affects every bit."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(GAMMA)
        for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(multiplier)
        return x ^ (x >> np.uint64(SHIFTS[-1]))


def random_bits(
    seed: int, epoch: int, keys: UInt64[np.ndarray, " n"], purpose: int = 0
) -> UInt64[np.ndarray, " n"]:
    """Return 64 random bits per sample.

    Args:
        seed: Seed of the run.
        epoch: Epoch (or step) of the draw.
        keys: Keys of the samples, from ``id_keys``.
        purpose: Number of the stream; different purposes give independent bits.
    """
    start = np.array([seed, epoch, purpose], dtype=np.int64).astype(np.uint64)
    state = np.zeros(1, dtype=np.uint64)
    for word in start:
        state = mix(state ^ word)
    return mix(keys ^ state)


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
    return shifted(bits, 64 - 24).float() * 2.0**-24
