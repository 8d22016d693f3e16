"""Modalities given as precomputed features, and the normalization of their encoders."""

from collections.abc import Mapping
from typing import Any

from hydra.utils import get_class

from mmtx_cli.config.introspect import TargetError, class_constant


def feature_widths(encoders: Mapping[str, Any] | None) -> dict[str, int | None]:
    """Return the modalities whose encoder reads features, with the feature size, None if not set.

    The encoders' targets must be checked beforehand: classes outside mmtx are imported.
    """
    chosen = {str(name): node for name, node in (encoders or {}).items() if node}
    return {name: node.get("num_features") for name, node in chosen.items() if reads_features(node)}


def reads_features(node: Mapping[str, Any]) -> bool:
    """Return True if the class of an encoder declares ``reads_features``."""
    target = str(node["_target_"])
    try:
        return bool(class_constant(target, "reads_features"))
    except TargetError:
        return bool(getattr(get_class(target), "reads_features", False))


def set_feature_statistics(model: Any, corpus: Any) -> None:
    """Set the feature statistics of the training rows in every encoder of features."""
    import torch

    from mmtx_cli.data.features.statistics import feature_scale
    from mmtx_cli.media.worker.limits import DecodeLimits

    max_length, limits = corpus.preparation.max_feature_length, DecodeLimits.of(corpus.settings)
    for name in corpus.preparation.features:
        scale = feature_scale(corpus.manifest.split("train"), name, max_length, limits)
        if scale is not None:
            model.encoder[name].set_feature_statistics(*map(torch.from_numpy, scale))
