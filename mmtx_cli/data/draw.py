"""Random numbers that are a pure function of what they are for.

Whatever is drawn for a sample in an epoch depends on (seed, epoch, sample id) alone, so that any
number of workers and processes, and a run resumed in the middle, draw the same.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
from jaxtyping import UInt64


def id_keys(ids: Iterable[str]) -> UInt64[np.ndarray, " n"]:
    """64 bits that stand for each sample id, the same on every machine."""
    digests = (hashlib.blake2b(i.encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def mix(x: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of x stirs every bit."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))


def draws(
    seed: int, epoch: int, keys: UInt64[np.ndarray, " n"], purpose: int = 0
) -> UInt64[np.ndarray, " n"]:
    """64 random bits a sample for this epoch; another ``purpose`` gives independent ones."""
    start = np.array([seed, epoch, purpose], dtype=np.int64).astype(np.uint64)
    state = np.zeros(1, dtype=np.uint64)
    for word in start:
        state = mix(state ^ word)
    return mix(keys ^ state)
