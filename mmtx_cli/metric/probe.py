"""Linear probes: what can be read off fixed features (Alain and Bengio 2016)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

STEPS = 200


class Standardiser:
    """Subtracts the mean of the training features and divides by their deviation."""

    def __init__(self, x: Float[Tensor, "n d"]) -> None:
        self.mean, deviation = x.mean(dim=0), x.std(dim=0, correction=0)
        self.scale = torch.where(deviation > 1e-12, deviation, 1.0)

    def __call__(self, x: Float[Tensor, "m d"]) -> Float[Tensor, "m e"]:
        """Features with a constant 1 behind them."""
        return F.pad((x - self.mean) / self.scale, (0, 1), value=1.0)


def linear_classifier(
    train: Float[Tensor, "n d"], labels: Int[Tensor, " n"], classes: int, test: Float[Tensor, "m d"]
) -> Float[Tensor, "m c"]:
    """Return probabilities of a multinomial logistic regression on standardised features.

    It minimises the summed cross-entropy plus half the squared weights (not the biases), by
    L-BFGS in float64.
    """
    train, test = train.double(), test.double()
    standard = Standardiser(train)
    x, weight = standard(train), torch.zeros(classes, train.shape[1] + 1, dtype=torch.float64)
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
        total = F.cross_entropy(x @ weight.T, labels, reduction="sum")
        total = (total + weight[:, :-1].square().sum() / 2) / len(x)
        total.backward()
        return total

    with torch.enable_grad():
        optimizer.step(loss)
    return (standard(test) @ weight.detach().T).softmax(dim=1)


def linear_regression(
    train: Float[Tensor, "n d"], numbers: Float[Tensor, " n"], test: Float[Tensor, "m d"]
) -> Float[Tensor, " m"]:
    """Return predictions of a ridge regression of strength 1 on standardised features."""
    train, test, numbers = train.double(), test.double(), numbers.double()
    standard = Standardiser(train)
    x = standard(train)
    penalty = torch.eye(x.shape[1], dtype=torch.float64)
    penalty[-1, -1] = 1e-12  # the constant is free
    weight = torch.linalg.solve(x.T @ x + penalty, x.T @ numbers)
    return standard(test) @ weight
