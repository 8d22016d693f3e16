"""k-nearest-neighbor predictions by cosine similarity, on fixed features."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F


def nearest_neighbors(
    train: Float[Tensor, "n d"], test: Float[Tensor, "m d"], k: int, chunk: int = 1024
) -> tuple[Float[Tensor, "m k"], Int[Tensor, "m k"]]:
    """Return the cosines and row indices of the ``k`` nearest training samples, or all if fewer.

    Ties at the last place are broken arbitrarily.

    Args:
        train: Training features.
        test: Features to search for.
        k: Number of neighbors.
        chunk: Number of test samples compared at a time; memory is chunk x n, never m x n.
    """
    keys, queries = (F.normalize(x.float(), dim=1) for x in (train, test))
    parts = [(rows @ keys.T).topk(min(k, len(keys)), dim=1) for rows in queries.split(chunk)]
    return torch.cat([p.values for p in parts]), torch.cat([p.indices for p in parts])


def neighbor_classifier(
    train: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    classes: int,
    test: Float[Tensor, "m d"],
    k: int,
    temperature: float = 0.07,
) -> Float[Tensor, "m c"]:
    """Return each class's share of the votes of the ``k`` nearest training samples.

    A vote is weighted by exp(cosine / temperature) (Wu et al. 2018, section 3.4; Caron et al.
    2021).

    Args:
        train: Training features.
        labels: Class indices of the training features.
        classes: Number of classes.
        test: Features to predict for.
        k: Number of neighbors.
        temperature: Divides the cosines.
    """
    cosine, row = nearest_neighbors(train, test, k)
    shares = (cosine / temperature).softmax(dim=1)
    return shares.new_zeros(len(test), classes).scatter_add_(1, labels[row], shares)


def neighbor_regression(
    train: Float[Tensor, "n d"],
    numbers: Float[Tensor, " n"],
    test: Float[Tensor, "m d"],
    k: int,
    temperature: float = 0.07,
) -> Float[Tensor, " m"]:
    """Return the mean of the neighbors' numbers, weighted like the votes for a class.

    Args:
        train: Training features.
        numbers: Targets of the training features.
        test: Features to predict for.
        k: Number of neighbors.
        temperature: Divides the cosines.
    """
    cosine, row = nearest_neighbors(train, test, k)
    shares = (cosine / temperature).softmax(dim=1)
    return (shares * numbers[row].to(shares.dtype)).sum(dim=1)


def neighbor_means(
    train: Float[Tensor, "n d"],
    values: Float[Tensor, "n c"],
    test: Float[Tensor, "m d"],
    k: int,
    temperature: float = 0.07,
    chunk: int = 256,
) -> Float[Tensor, "m c"]:
    """Return the mean of the neighbors' ``values``, weighted like the votes for a class.

    Args:
        train: Training features.
        values: Target vectors of the training features.
        test: Features to predict for.
        k: Number of neighbors.
        temperature: Divides the cosines.
        chunk: Number of test samples averaged at a time; memory is chunk x k x c.
    """
    cosine, row = nearest_neighbors(train, test, k)
    shares = (cosine / temperature).softmax(dim=1)
    parts = zip(shares.split(chunk), row.split(chunk), strict=True)
    return torch.cat([(share[..., None] * values[rows]).sum(dim=1) for share, rows in parts])
