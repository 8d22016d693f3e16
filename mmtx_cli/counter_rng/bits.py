"""Counter-based random bits for each sample, with NumPy.

They depend only on the seed, the epoch or step, and the sample's id, so that any number of workers
and processes, and a resumed run, draw the same ones. ``counter_rng/tensors.py`` computes the same
with torch.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float32, UInt64

GAMMA = 0x9E3779B97F4A7C15
MULTIPLIERS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
SHIFTS = 30, 27, 31
UNIFORM_BITS = 24
"""Bits of a uniform number: those of the mantissa of a float32."""


def id_keys(ids: Iterable[str]) -> UInt64[np.ndarray, " n"]:
    """Return a 64-bit hash of each sample id, the same on every machine."""
    digests = (
        hashlib.blake2b(i.encode("utf-8", "surrogateescape"), digest_size=8).digest() for i in ids
    )
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def mix(x: UInt64[np.ndarray, "*n"]) -> UInt64[np.ndarray, "*n"]:
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


def seeded_keys(keys: UInt64[np.ndarray, " b"], seed: int, step: int) -> UInt64[np.ndarray, " b"]:
    """Return the keys of the samples for a step, as ``tensors.step_keys`` does."""
    return mix(keys ^ random_bits(seed, step, np.zeros(1, dtype=np.uint64)))


def uniform_numbers(
    keys: UInt64[np.ndarray, " b"], n: int, purpose: str
) -> Float32[np.ndarray, "b n"]:
    """Return ``n`` uniform numbers in [0, 1) for each key, as ``tensors.uniform`` does."""
    with np.errstate(over="ignore"):
        counters = np.arange(n, dtype=np.uint64) * np.uint64(GAMMA)
        bits = mix(mix(keys ^ id_keys([purpose]))[:, None] + counters)
    numbers = (bits >> np.uint64(64 - UNIFORM_BITS)).astype(np.float32)
    return numbers * np.float32(2.0**-UNIFORM_BITS)
