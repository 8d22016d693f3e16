"""Random numbers that are a pure function of what they are for.

Whatever is drawn for a sample depends on the seed, the epoch or step, and the sample's id alone,
so that any number of workers and processes, and a run resumed in the middle, draw the same. What
data loading draws is computed by NumPy, what a model draws on its device, both by SplitMix64.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float, Int, UInt64
from torch import Tensor

GAMMA = 0x9E3779B97F4A7C15
MULTIPLIERS = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB
SHIFTS = 30, 27, 31


def id_keys(ids: Iterable[str]) -> UInt64[np.ndarray, " n"]:
    """64 bits that stand for each sample id, the same on every machine."""
    digests = (hashlib.blake2b(i.encode(), digest_size=8).digest() for i in ids)
    return np.frombuffer(b"".join(digests), dtype="<u8").astype(np.uint64)


def mix(x: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014): every bit of x stirs every bit."""
    with np.errstate(over="ignore"):
        x = x + np.uint64(GAMMA)
        for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(multiplier)
        return x ^ (x >> np.uint64(SHIFTS[-1]))


def draws(
    seed: int, epoch: int, keys: UInt64[np.ndarray, " n"], purpose: int = 0
) -> UInt64[np.ndarray, " n"]:
    """64 random bits a sample for this epoch; another ``purpose`` gives independent ones."""
    start = np.array([seed, epoch, purpose], dtype=np.int64).astype(np.uint64)
    state = np.zeros(1, dtype=np.uint64)
    for word in start:
        state = mix(state ^ word)
    return mix(keys ^ state)


def id_tensor(ids: Iterable[str]) -> Int[Tensor, " n"]:
    """``id_keys`` as signed numbers, since torch computes with no others."""
    return torch.from_numpy(id_keys(ids).view(np.int64))


def step_tensor(keys: Int[Tensor, " b"], seed: int, step: int) -> Int[Tensor, " b"]:
    """The samples' keys in a step of training."""
    nothing = np.zeros(1, dtype=np.uint64)
    return mix_tensor(keys ^ int(draws(seed, step, nothing).view(np.int64)[0]))


def mix_tensor(x: Int[Tensor, "*n"]) -> Int[Tensor, "*n"]:
    """``mix`` in two's complement."""
    x = x + signed(GAMMA)
    for shift, multiplier in zip(SHIFTS, MULTIPLIERS, strict=False):
        x = (x ^ shifted(x, shift)) * signed(multiplier)
    return x ^ shifted(x, SHIFTS[-1])


def shifted(x: Int[Tensor, "*n"], bits: int) -> Int[Tensor, "*n"]:
    """Shift to the right, with zeros from the left."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def signed(bits: int) -> int:
    """64 bits as a number in two's complement."""
    return bits - 2**64 if bits >= 2**63 else bits


def uniform(keys: Int[Tensor, "*b"], n: int, purpose: str) -> Float[Tensor, "*b n"]:
    """N numbers in [0, 1) for each key, the first of which do not depend on n.

    Those of another ``purpose`` are independent.
    """
    places = torch.arange(n, device=keys.device) * signed(GAMMA)
    stream = signed(int(id_keys([purpose])[0]))
    bits = mix_tensor(mix_tensor(keys ^ stream)[..., None] + places)
    return shifted(bits, 64 - 24).float() * 2.0**-24
