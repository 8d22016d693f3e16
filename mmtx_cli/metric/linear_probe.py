"""Linear probes of fixed features (Alain and Bengio 2016)."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

STEPS = 200


class Standardizer:
    """Subtracts the mean of the training features and divides by their standard deviation."""

    def __init__(self, x: Float[Tensor, "n d"]) -> None:
        self.mean, deviation = x.mean(dim=0), x.std(dim=0, correction=0)
        self.scale = torch.where(deviation > 1e-12, deviation, 1.0)

    def __call__(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m e"]:
        """Return the standardized features with an appended constant 1."""
        return F.pad((x - self.mean) / self.scale, (0, 1), value=1.0)


def linear_classifier(
    train: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int, test: Float[Tensor, "m d"]
) -> Float[Tensor, "m c"]:
    """Return the probabilities of a multinomial logistic regression on standardized features.

    It minimizes the summed cross-entropy plus half the squared weights (excluding biases), by
    L-BFGS in float64.

    Args:
        train: Training features.
        labels: Class indices of the training features.
        classes: Number of classes.
        test: Features to predict for.
    """
    return _logistic(
        train, classes, test, lambda logits: F.cross_entropy(logits, labels, reduction="sum")
    ).softmax(dim=1)


def linear_multilabel(
    train: Float[Tensor, "n d"], targets: Float[Tensor, "n c"], test: Float[Tensor, "m d"]
) -> Float[Tensor, "m c"]:
    """Return the probabilities of a logistic regression per label; ``targets`` are 0 or 1.

    It minimizes the summed binary cross-entropy and is fitted like ``linear_classifier``.
    """
    targets = targets.double()
    return _logistic(
        train,
        targets.shape[1],
        test,
        lambda logits: F.binary_cross_entropy_with_logits(logits, targets, reduction="sum"),
    ).sigmoid()


def _logistic(
    train: Float[Tensor, "n d"],
    outputs: int,
    test: Float[Tensor, "m d"],
    loss_of: Callable[[Tensor], Tensor],
) -> Float[Tensor, "m c"]:
    """Return the logits for ``test`` of the linear model that minimizes a loss of its logits."""
    train, test = train.double(), test.double()
    standard = Standardizer(train)
    x, weight = standard(train), torch.zeros(outputs, train.shape[1] + 1, dtype=torch.float64)
    weight.requires_grad_()
    optimizer = torch.optim.LBFGS(
        [weight],
        max_iter=STEPS,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        total = (loss_of(x @ weight.T) + weight[:, :-1].square().sum() / 2) / len(x)
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    return standard(test) @ weight.detach().T


def linear_regression(
    train: Float[Tensor, "n d"], numbers: Float[Tensor, " n"], test: Float[Tensor, "m d"]
) -> Float[Tensor, " m"]:
    """Return the predictions of a ridge regression of strength 1 on standardized features."""
    train, test, numbers = train.double(), test.double(), numbers.double()
    standard = Standardizer(train)
    x = standard(train)
    penalty = torch.eye(x.shape[1], dtype=torch.float64)
    penalty[-1, -1] = 1e-12  # the bias is not penalized
    weight = torch.linalg.solve(x.T @ x + penalty, x.T @ numbers)
    return standard(test) @ weight
