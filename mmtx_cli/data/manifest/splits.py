"""Assignment of samples to splits by ratios."""

from collections.abc import Callable, Mapping
from hashlib import blake2b

from mmtx_cli.data.manifest.option_names import RATIOS, Keys
from mmtx_cli.data.manifest.sample import SPLITS
from mmtx_cli.errors import ConfigError

Ratios = Mapping[str, float | int]  # fraction of each split, summing to 1


def split_of(ident: str, ratios: Ratios, seed: int) -> str:
    """Return the split of an id, a pure function of (seed, id) and the ratios."""
    digest = blake2b(f"{seed}:{ident}".encode(), digest_size=8).digest()
    point, total = int.from_bytes(digest, "big") / 2**64, 0.0
    names = [name for name in SPLITS if ratios.get(name, 0) > 0]
    for name in names:
        total += ratios[name]
        if point < total:
            return name
    return names[-1]


def check_ratios(ratios: Ratios, key: str) -> None:
    """Check that ``ratios`` gives fractions by split that sum to 1; ``key`` is where it was set.

    Raises:
        ConfigError: if it does not, with an example.
    """
    example = f"use e.g. '{key}={RATIOS}'"
    if not isinstance(ratios, Mapping) or not set(ratios) <= set(SPLITS):
        raise ConfigError(f"{key}={_shown_ratios(ratios)}: must map splits to ratios; {example}")
    shares = list(ratios.values())
    positive = all(isinstance(share, (int, float)) and share >= 0 for share in shares)
    if not positive or abs(sum(shares) - 1) > 1e-6:
        raise ConfigError(
            f"{key}={_shown_ratios(ratios)}: ratios must be >= 0 and sum to 1; {example}"
        )


def _shown_ratios(ratios: object) -> str:
    """Return ratios in command-line syntax."""
    if not isinstance(ratios, Mapping):
        return str(ratios)
    return "{" + ", ".join(f"{split}: {share}" for split, share in ratios.items()) + "}"


def assigner(ratios: Ratios | None, seed: int, keys: Keys) -> Callable[[str], str] | None:
    """Return the function from id to split; None without ratios.

    Raises:
        ConfigError: if the ratios are invalid.
    """
    if ratios is None:
        return None
    check_ratios(ratios, keys.split)
    return lambda ident: split_of(ident, ratios, seed)
