"""CLIPScore and RefCLIPScore (Hessel et al., 2021, arXiv:2104.08718)."""

import numpy as np
from jaxtyping import Bool, Float

from mmtx_cli.metric.scores import Metric, Scores

METRICS = (Metric("refclipscore", headline=True), Metric("clipscore"))


def clip_scores(
    media: Float[np.ndarray, " n"],
    references: Float[np.ndarray, " n"],
    is_empty: Bool[np.ndarray, " n"],
    weight: float = 2.5,
) -> Scores:
    """Return ``clipscore``, in [0, ``weight``], and ``refclipscore``.

    CLIPScore is ``weight`` * max(cos(candidate, media), 0) (equation 1). RefCLIPScore is the
    harmonic mean of it and of max(cos(candidate, closest reference), 0) (section 3.2); 0 if one of
    them is 0.

    Args:
        media: Cosine of each candidate with its picture, film or sound.
        references: Cosine of each candidate with its closest reference.
        is_empty: Which candidates are empty; they score 0.
        weight: Factor that stretches the cosines of CLIP.
    """
    seen = np.where(is_empty, 0, weight * np.maximum(media, 0))
    text = np.where(is_empty, 0, np.maximum(references, 0))
    total = seen + text
    harmonic = 2 * seen * text / np.where(total > 0, total, 1)
    return Scores.means({"clipscore": seen, "refclipscore": harmonic})
