"""Recall of retrieval in both directions, a row a sample."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Int

from mmtx_cli.metric.scores import Scores

CUTS = (1, 5, 10)


def recall_scores(
    ranks: Mapping[str, tuple[Int[np.ndarray, " q"], Int[np.ndarray, " q"]]], num_samples: int
) -> Scores:
    """Recall at 1, 5 and 10 of each direction, and their mean.

    ``ranks`` maps a direction ("image_to_text") to the rank, from 0, of each query and the number
    of the sample it belongs to. A sample may ask several queries (one a caption) or none: they
    are resampled together, as they are not independent.

    Returns:
        Scores with figures ``image_to_text_r1`` …, ``mean_recall``; per sample the mean rank of
        its queries (NaN where it asks none).
    """
    columns, per_sample, names = [], {}, []
    for direction, (rank, owner) in ranks.items():
        asked = np.bincount(owner, minlength=num_samples)
        columns.append(asked)
        columns += [np.bincount(owner, rank < cut, num_samples) for cut in CUTS]
        total = np.bincount(owner, rank, num_samples)
        per_sample[f"{direction}_rank"] = np.where(asked, total / np.maximum(asked, 1), np.nan)
        names.append(direction)

    def figures(sums: np.ndarray) -> dict[str, np.ndarray]:
        recalls = {
            f"{name}_r{cut}": sums[..., 4 * i + at] / np.maximum(sums[..., 4 * i], 1)
            for i, name in enumerate(names)
            for at, cut in enumerate(CUTS, start=1)
        }
        return recalls | {"mean_recall": np.mean(list(recalls.values()), axis=0)}

    return Scores(per_sample, np.stack(columns, axis=1).astype(np.float64), figures)
