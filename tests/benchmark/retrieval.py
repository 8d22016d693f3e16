"""Compare the ranks of retrieval with open_clip's metrics: speed, and whether they are the same.

Run from the project's root: ``python tests/benchmark/retrieval.py``; it needs
``pip install open_clip_torch``. Takes some minutes. 10,000 pictures and as many captions, 512 wide,
whose embeddings are near each other but not nearest; one process, ranks both ways.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2])]

from open_clip_train.train import get_clip_metrics  # noqa: E402
from paired import paired_ratio, report  # noqa: E402

from mmtx_cli.metric.retrieval import retrieval_ranks  # noqa: E402


def embeddings(number: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors of pictures and of their captions."""
    generator = torch.Generator().manual_seed(0)
    a = torch.randn(number, width, generator=generator)
    near = a + 8 * torch.randn(number, width, generator=generator)
    return F.normalize(a, dim=1), F.normalize(near, dim=1)


def differences(a: torch.Tensor, b: torch.Tensor) -> tuple[int, int]:
    """Ranks of both ways that differ from those of a sorted list of the same products."""
    groups = torch.arange(len(a))
    ours = retrieval_ranks(a, b, groups, groups)
    scores = a @ b.T
    found = []
    for ranks, table in zip(ours, (scores, scores.T), strict=True):
        order = table.argsort(dim=1, descending=True)
        found.append(int((ranks != (order == groups[:, None]).nonzero()[:, 1]).sum()))
    return found[0], found[1]


def main() -> None:
    """Print the ratio of the times, and what of the figures and ranks differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--number", type=int, default=10_000)
    parser.add_argument("--width", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    a, b = embeddings(args.number, args.width)
    groups, one = torch.arange(len(a)), torch.tensor(1.0)
    report(
        "open_clip's get_clip_metrics over mmtx's ranks, in time",
        *paired_ratio(
            lambda: get_clip_metrics(a, b, one) and None,
            lambda: retrieval_ranks(a, b, groups, groups) and None,
            args.rounds,
        ),
    )
    theirs = get_clip_metrics(a, b, one)
    ways = zip(
        ("image_to_text", "text_to_image"), retrieval_ranks(a, b, groups, groups), strict=True
    )
    for way, ranks in ways:
        found = ranks.numpy()
        ours = {f"R@{k}": float(np.mean(found < k)) for k in (1, 5, 10)}
        ours["mean_rank"] = found.mean() + 1
        print(way, {k: (v, float(theirs[f"{way}_{k}"])) for k, v in ours.items()})
    print("ranks that differ from a sorted list, each way:", differences(a, b))


if __name__ == "__main__":
    main()
