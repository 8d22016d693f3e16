"""Validation of all features of a manifest, reporting faults with file:line."""

from collections.abc import Iterator

from mmtx_cli.data.features.reader import FeatureFiles
from mmtx_cli.data.manifest.feature_reference import FeaturePlace
from mmtx_cli.data.manifest.read import Manifest
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.io.progress import track
from mmtx_cli.media.errors import UnreadableError
from mmtx_cli.media.worker.limits import DecodeLimits

Use = tuple[str, FeaturePlace]
"""A modality and a feature reference."""


def unreadable_features(manifest: Manifest, limits: DecodeLimits) -> list[str]:
    """Return faults of features that are unreadable or whose width differs within a modality.

    ``limits`` apply to each sample.
    """
    users: dict[Use, list[Sample]] = {}
    for sample in manifest.samples:
        for use in sample.features.items():
            users.setdefault(use, []).append(sample)
    faults = []
    for (name, place), reason in track(_reasons(list(users), limits), len(users), "features"):
        if reason is not None:
            first, *more = users[name, place]
            also = f" (and {len(more)} more rows)" if more else ""
            where = f"{manifest.where(first)}: features.{name}{also}: {place.path}"
            faults.append(f"{where}: {reason}; fix the file or remove the features")
    return faults


def _reasons(uses: list[Use], limits: DecodeLimits) -> Iterator[tuple[Use, str | None]]:
    """Yield each feature reference with the reason why it is unusable, or None."""
    files, widths = FeatureFiles(limits), dict[str, int]()
    for name, place in uses:
        try:
            found = files.read(place, widths.get(name))
        except UnreadableError as error:
            yield (name, place), error.reason
        else:
            widths.setdefault(name, found.shape[1])
            yield (name, place), None
    files.close()
