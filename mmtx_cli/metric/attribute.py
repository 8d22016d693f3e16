"""Accuracy of the attributes in captions, compared with those in their references."""

from collections.abc import Mapping, Sequence

import numpy as np

from mmtx_cli.metric.scores import Metrics, Scores

Attributes = Mapping[str, str | None]


def attribute_scores(
    predicted: Sequence[Attributes],
    correct: Sequence[Attributes],
    joint: Mapping[str, Sequence[str]] | None = None,
) -> Scores:
    """Return the accuracy of each attribute, in [0, 1].

    An attribute is scored on the samples whose reference has it (is not None); a prediction that
    lacks it is wrong. The accuracy is NaN if no reference has it. ``per_sample`` is 1, 0, or NaN if
    the reference lacks the attribute.

    Args:
        predicted: The attributes of each predicted caption.
        correct: The attributes of each reference, with the same keys for every sample; not empty.
        joint: Names of further metrics, with the attributes that must all be correct; scored on the
            samples whose reference has all of them.
    """
    assert len(predicted) == len(correct), f"{len(predicted)} captions, {len(correct)} references"
    parts = {name: (name,) for name in correct[0]} | {k: (*v,) for k, v in (joint or {}).items()}
    known = {
        figure: np.array([all(row[name] is not None for name in names) for row in correct])
        for figure, names in parts.items()
    }
    matches = {
        figure: np.array(
            [
                all(prediction.get(name) == row[name] for name in names)
                for prediction, row in zip(predicted, correct, strict=True)
            ]
        )
        & known[figure]
        for figure, names in parts.items()
    }

    def reduce(sums: np.ndarray) -> Metrics:
        with np.errstate(invalid="ignore"):  # 0 / 0 if no reference has an attribute
            shares = sums[..., : len(parts)] / sums[..., len(parts) :]
        return {name: shares[..., i] for i, name in enumerate(parts)}

    statistics = np.stack([*matches.values(), *known.values()], axis=1)
    per_sample = {name: np.where(known[name], matches[name], np.nan) for name in parts}
    return Scores(per_sample, statistics, reduce)
