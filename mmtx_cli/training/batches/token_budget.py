"""Batches that are filled by tokens: the lengths of the samples, and whether they fit."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path

import numpy as np
from jaxtyping import Int

from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.data.dataset import PROMPT, ManifestDataset
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.derived import mapped_arrays, stored_folder, write_arrays
from mmtx_cli.data.manifest.table.facts import values
from mmtx_cli.data.manifest.table.samples import SampleTable
from mmtx_cli.data.sampling.budget_order import BudgetOrder
from mmtx_cli.data.sampling.shard_order import shard_paths
from mmtx_cli.data.shards.state import shard_state
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.media.image import image_size
from mmtx_cli.media.naflex import grid

THREADS = 16
"""Files whose headers are read at a time."""
BLOCK = 2**13
"""Samples that wait for their turn."""
ROUND_TO = 8
"""Lengths count as multiples of this, as a compiled model has them (``trainer.compile``), whether
it is compiled or not: a run may be resumed either way."""
LISTED = 5
"""Samples that a message names."""


def budget_order(train: ManifestDataset, settings: DataSettings, seed: int) -> BudgetOrder:
    """Return the order of batches of at most ``data.token_budget`` tokens.

    Raises:
        ConfigError: if the samples have no sequences.
        DataError: if there are fewer than ``data.batch_multiple`` samples, or as many as long as
            one of them exceed the budget.
    """
    assert settings.token_budget is not None
    if len(train) < settings.batch_multiple:  # no batch could ever be filled
        raise DataError(
            f"data.batch_multiple: {settings.batch_multiple} samples per batch, but there are only "
            f"{len(train)} for training; set a smaller one, or add samples"
        )
    patches = patch_counts(train)
    columns = train.texts.columns
    if not columns and patches is None:
        raise ConfigError(
            "data.token_budget: the model reads and learns no texts, and images have a fixed size; "
            "use data.batch_size"
        )

    def padded(name: str, lengths: Int[np.ndarray, " n"]) -> Int[np.ndarray, " n"]:
        # at least as Collate pads: to one element or more, and texts to at most max_length
        rounded = -(-np.maximum(lengths, 1) // ROUND_TO) * ROUND_TO
        limited = name not in ("image", PROMPT)
        return np.minimum(rounded, train.preparation.max_length) if limited else rounded

    def lengths(epoch: int) -> Int[np.ndarray, "c n"]:
        found = train.texts.column_lengths(epoch)
        return np.stack([padded(name, x) for name, x in (found | images).items()])

    images = {} if patches is None else {"image": patches}
    longest = {name: column.longest_lengths() for name, column in columns.items()} | images
    most = np.stack([padded(name, x) for name, x in longest.items()]).sum(axis=0)
    check_samples_fit(train, most, settings)
    return BudgetOrder(len(train), settings.token_budget, seed, lengths, settings.batch_multiple)


def check_samples_fit(
    train: ManifestDataset, tokens: Int[np.ndarray, " n"], settings: DataSettings
) -> None:
    """Raise DataError if a sample, with its longest texts, is too long for a batch."""
    assert settings.token_budget is not None
    needed = tokens * settings.batch_multiple
    rows = np.flatnonzero(needed > settings.token_budget)
    if not len(rows):
        return
    worst = rows[np.argsort(-tokens[rows], kind="stable")][:LISTED]
    names = ", ".join(f"{train.samples[i].id} ({tokens[i]} tokens)" for i in worst)
    more = f" and {len(rows) - len(worst)} more" if len(rows) > len(worst) else ""
    each = f" for {settings.batch_multiple} samples of its length" * (settings.batch_multiple > 1)
    raise DataError(
        f"data.token_budget: {settings.token_budget} is too small{each}: {names}{more}; set at "
        f"least data.token_budget={needed.max()}, or reduce max_length or data.max_patches"
    )


def check_budget_world(order: BudgetOrder, world: int) -> None:
    """Raise ConfigError unless each batch divides evenly among ``world`` processes."""
    if order.multiple % world:
        raise ConfigError(
            f"data.batch_multiple: batches of a multiple of {order.multiple} samples cannot be "
            f"divided evenly among {world} devices; set data.batch_multiple={world} or a multiple"
        )


def patch_counts(train: ManifestDataset) -> Int[np.ndarray, " n"] | None:
    """Return at most how many patches the images of each sample have, from the files' headers.

    None if images are not read as patches. An image that is reduced counts as ``max_patches``, as
    its exact grid depends on how it is decoded. Unreadable files have none.
    """
    p = train.preparation
    reads_files = "image" in train.modalities and "image" not in {*p.features, *train.cached}
    if p.resize_mode != "naflex" or not reads_files:
        return None

    def count(sample: Sample) -> int:
        return sum(patches_of(path, p.patch_size, p.max_patches) for path in sample.image)

    def counts() -> Iterator[int]:
        samples = values(train.samples, ("image",), lambda sample: sample)
        with ThreadPoolExecutor(THREADS) as pool:
            # the pool would keep all samples otherwise
            while block := list(islice(samples, BLOCK)):
                yield from pool.map(count, block)

    if not isinstance(train.samples, SampleTable):
        return np.fromiter(counts(), dtype=np.int64)

    def make(folder: Path) -> None:
        write_arrays(folder, {"patches": np.fromiter(counts(), dtype=np.int64)})

    shards = [shard_state(path) for path in shard_paths(train.samples)[1]]
    settings = p.patch_size, p.max_patches, shards
    return mapped_arrays(stored_folder(train.samples, "patches", settings, make))["patches"]


def patches_of(path: str, patch_size: int, max_patches: int) -> int:
    """Return at most how many patches an image has; 0 if its header cannot be read."""
    try:
        width, height = image_size(path)
    except Exception:  # reported when the sample is read
        return 0
    rows, columns = grid(height, width, patch_size, max_patches)
    is_reduced = rows * patch_size < height or columns * patch_size < width
    return max_patches if is_reduced else rows * columns
