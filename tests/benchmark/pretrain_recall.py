"""Recall at 1, 5 and 10 both ways among 10,000 pairs, 512 wide: the contrastive head's evaluation
against open_clip's ``get_clip_metrics``, and whether every rank is the same.
"""

import torch
from open_clip_train.train import get_clip_metrics
from paired import paired_ratio, verdict
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.head.base import Evaluation
from mmtx_cli.head.contrastive import ContrastiveHead

PAIRS, WIDTH = 10_000, 512
WAYS = {"image_to_text": ("image", "text"), "text_to_image": ("text", "image")}


def embeddings() -> dict[str, Tensor]:
    """Unit vectors; those of a pair are near each other, and often not the nearest."""
    random = torch.Generator().manual_seed(0)
    image = torch.randn(PAIRS, WIDTH, generator=random)
    text = image + 8 * torch.randn(PAIRS, WIDTH, generator=random)
    return {"image": F.normalize(image, dim=1), "text": F.normalize(text, dim=1)}


def sorted_ranks(queries: Tensor, items: Tensor) -> Tensor:
    """The place of each query's item among all, from 0, by sorting them; in pieces."""
    places = []
    for rows in torch.arange(len(queries)).split(1000):
        order = (queries[rows] @ items.T).argsort(dim=1, descending=True)
        places.append((order == rows[:, None]).nonzero()[:, 1])
    return torch.cat(places)


def recall(rounds: int) -> None:
    """Print the ratio, the figures that differ, and the ranks that differ."""
    unit = embeddings()
    head = ContrastiveHead(WIDTH, ["image", "text"], embed_dim=WIDTH)
    there = {f"{name}_present": torch.tensor(True) for name in unit}
    outputs = [[{k: x[i] for k, x in unit.items()} | there] for i in range(PAIRS)]
    samples = [Sample(id=str(i), split="test") for i in range(PAIRS)]
    predicted: dict[str, Evaluation] = {}
    theirs: dict[str, float] = {}

    def run_ours() -> None:
        predicted["ours"] = head.evaluate(outputs, samples, lambda _: "")

    def run_theirs() -> None:
        theirs.update(get_clip_metrics(unit["image"], unit["text"], torch.tensor(1.0)))

    ratios = paired_ratio(run_theirs, run_ours, rounds or 3)[1]
    scores = predicted["ours"].scores
    figures = scores.metrics()
    apart = max(abs(figures[f"{w}_r{k}"] - theirs[f"{w}_R@{k}"]) for w in WAYS for k in (1, 5, 10))
    differ = 0
    for way, (one, other) in WAYS.items():
        ranks = torch.from_numpy(scores.per_sample[f"{way}_rank"])
        differ += int((ranks != sorted_ranks(unit[one], unit[other])).sum())
    print(
        f"recall: largest difference of a figure {apart:.1e}; {differ} of {2 * PAIRS} ranks differ"
    )
    verdict("recall, get_clip_metrics / mmtx", ratios, at_least=8.0)
