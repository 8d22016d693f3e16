"""Captions with human ratings, however they were read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmtx_cli.errors import DataError
from mmtx_cli.metric.agreement.correlations import Judgements
from mmtx_cli.scoring.captions import Captions
from mmtx_cli.scoring.files.load import Loaded


@dataclass(frozen=True)
class Rated:
    """The captions of each system, and their human judgements.

    Args:
        systems: The captions by system, in the order in which ``judgements`` counts them.
        judgements: Judgements of the captions of all systems, one system after another.
        notes: Sentences for the user about what does not count.
        loaded: What the files of references and predictions contain, if the captions are there.
    """

    systems: dict[str, Captions]
    judgements: Judgements
    notes: tuple[str, ...] = ()
    loaded: Loaded | None = None

    def mean_ratings(self, system: str) -> np.ndarray:
        """Return the mean rating of each caption of a system, [n]; NaN for those without one."""
        number = self.judgements.num_captions
        count, total = (
            np.bincount(self.judgements.caption, weights, minlength=number)
            for weights in (None, self.judgements.rating)
        )
        means = np.divide(total, count, out=np.full(number, np.nan), where=count > 0)
        start = 0
        for name, captions in self.systems.items():
            if name == system:
                return means[start : start + len(captions)]
            start += len(captions)
        raise KeyError(system)


def judgements_of(path: object, ratings: Sequence[Sequence[float]]) -> Judgements:
    """Return the judgements of n captions, from the ratings of each one.

    Args:
        path: The file of ratings, for messages.
        ratings: [n] ratings of each caption; may be empty.

    Raises:
        DataError: if fewer than two captions are rated, or all ratings are the same.
    """
    caption = np.repeat(np.arange(len(ratings)), [len(own) for own in ratings])
    rating = np.array([value for own in ratings for value in own], dtype=np.float64)
    if len({*caption.tolist()}) < 2:
        raise DataError(f"{path}: fewer than two captions have ratings; rate more of them")
    if (rating == rating[0]).all():
        raise DataError(
            f"{path}: all {len(rating)} ratings are {rating[0]:g}, so nothing can correlate with "
            "them; check the column (rating_columns=[…])"
        )
    return Judgements(caption, rating, len(ratings))


def unrated_note(ratings: Sequence[Sequence[float]]) -> tuple[str, ...]:
    """Return a sentence about captions without ratings, if there are any."""
    missing = sum(not own for own in ratings)
    if not missing:
        return ()
    return (
        f"{missing} of {len(ratings)} captions have no human rating; they do not count in the "
        "correlations",
    )


def rated(
    path: object,
    systems: Mapping[str, Captions],
    ratings: Mapping[str, Sequence[Sequence[float]]],
    loaded: Loaded,
) -> Rated:
    """Return captions with their ratings, [n] for each system.

    Args:
        path: The file of ratings, for messages.
        systems: The captions by system.
        ratings: The ratings of each caption by system.
        loaded: What the files of references and predictions contain.
    """
    flat = [own for name in systems for own in ratings[name]]
    return Rated(dict(systems), judgements_of(path, flat), unrated_note(flat), loaded)
