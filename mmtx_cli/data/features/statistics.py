"""Width and scale of a data set's features, from a few of its samples."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from mmtx_cli.data.features.reader import FeatureFiles
from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.manifest.sample import SPLITS, Sample
from mmtx_cli.data.manifest.table.facts import present, split_codes, taken
from mmtx_cli.errors import DataError
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker.limits import DecodeLimits

SAMPLED_ROWS = 256
"""Number of samples from which the scale of features is estimated."""


def feature_sizes(
    manifest: Manifest, expected: Mapping[str, int | None], limits: DecodeLimits | None = None
) -> dict[str, int]:
    """Return the feature width of each modality, from the first readable row (training first).

    ``expected`` maps the modalities that are read as features to the width that a model expects, or
    None; ``limits`` apply to each sample.

    Raises:
        DataError: if no row has readable features, or their width is not the expected one.
    """
    if not expected:
        return {}
    samples = manifest.samples
    rows = taken(samples, np.argsort(split_codes(samples) != SPLITS.index("train"), kind="stable"))
    files = FeatureFiles(limits)
    try:
        return {name: _size(name, size, rows, manifest, files) for name, size in expected.items()}
    finally:
        files.close()  # so that loader workers inherit no open files


def _size(
    name: str, expected: int | None, rows: Sequence[Sample], manifest: Manifest, files: FeatureFiles
) -> int:
    error: UnreadableError | None = None
    for row in taken(rows, present(rows, f"features.{name}")):
        try:
            width = files.read(row.features[name], most=1).shape[1]
        except UnreadableError as fault:  # reported when the sample itself is read
            error = error or fault
            continue
        if expected not in (None, width):
            raise DataError(
                f"{manifest.where(row)}: features.{name}: {row.features[name].path}: vectors "
                f"have {width} dimensions, but encoder.{name}.num_features is {expected}; use the "
                "features that the encoder was trained on, or choose a new encoder"
            )
        return width
    if error is not None:
        raise DataError(
            f"{manifest.path}: features.{name} cannot be read in any row; first: {error}"
        )
    if expected is not None:
        return expected
    raise DataError(
        f"{manifest.path}: no row has features.{name}, which encoder/{name}=precomputed needs; add "
        f"them to the manifest, or disable the encoder: encoder.{name}=null"
    )


def feature_scale(
    rows: Sequence[Sample], name: str, most: int, limits: DecodeLimits | None = None
) -> tuple[Float[np.ndarray, " c"], Float[np.ndarray, " c"]] | None:
    """Return mean and standard deviation of each feature over evenly spaced rows.

    Constant features get a deviation of 1. Returns None if no row has readable features.

    Args:
        rows: The samples.
        name: The modality.
        most: Maximum number of vectors read per sample.
        limits: Limits on reading one sample.
    """
    available = taken(rows, present(rows, f"features.{name}"))
    indices = np.unique(np.linspace(0, len(available) - 1, SAMPLED_ROWS).round().astype(int))
    chosen = taken(available, indices) if len(available) else []
    count, total, squares = 0, np.zeros(()), np.zeros(())
    for features in _readable(chosen, name, most, limits):
        x = features.astype(np.float64)
        count, total, squares = count + len(x), total + x.sum(0), squares + np.square(x).sum(0)
    if not count:
        return None
    mean = total / count
    deviation = np.sqrt(np.maximum(squares / count - np.square(mean), 0))
    constant = deviation <= 1e-5 * np.maximum(np.abs(mean), 1e-5)
    return mean.astype(np.float32), np.where(constant, 1, deviation).astype(np.float32)


def _readable(
    rows: Sequence[Sample], name: str, most: int, limits: DecodeLimits | None
) -> Iterator[Float[np.ndarray, "l c"]]:
    files, width = FeatureFiles(limits), None
    for row in rows:
        try:
            features = files.read(row.features[name], width, most)
        except UnreadableError:  # quarantined when the sample itself is read
            continue
        width = features.shape[1]
        yield features
    files.close()
