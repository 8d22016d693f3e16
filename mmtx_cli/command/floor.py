"""Floors that a captioner must beat, measured on the same data in the same run.

The most frequent training caption for every picture, and the caption of the training picture
whose features are nearest (Devlin et al. 2015, "Exploring nearest neighbor approaches").
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional as F

from mmtx_cli.corpus import Corpus
from mmtx_cli.data.loader import EvaluationSampler, make_loader
from mmtx_cli.data.sample import Sample
from mmtx_cli.error import DataError
from mmtx_cli.metric.caption import caption_scores
from mmtx_cli.model import MultimodalModel


def caption_floors(
    model: MultimodalModel,
    corpus: Corpus,
    rows: Sequence[Sample],
    batch_size: int,
    device: torch.device,
) -> dict[str, dict[str, float]]:
    """Figures of both floors on ``rows``, named as the captioning head's are."""
    head = next((name for name, h in model.head.items() if "captions" in h.needs), None)
    known = [row for row in corpus.rows("train") if row.captions]
    rows = [row for row in rows if row.captions]
    if head is None or not known or not rows:
        raise DataError("floors=true: needs a captioning head and training rows with captions")
    common = Counter(caption for row in known for caption in row.captions)
    said = {"most frequent caption": [common.most_common(1)[0][0]] * len(rows)}
    if "image" in model.encoder:
        here = image_features(model, corpus, rows, batch_size, device)
        there = image_features(model, corpus, known, batch_size, device)
        nearest = (here @ there.T).argmax(dim=1).tolist()
        said["nearest neighbour"] = [known[i].captions[0] for i in nearest]
    ids, references = [row.id for row in rows], [list(row.captions) for row in rows]
    return {
        floor: {
            f"{head}/{k}": v for k, v in caption_scores(ids, captions, references).figures().items()
        }
        for floor, captions in said.items()
    }


def image_features(
    model: MultimodalModel,
    corpus: Corpus,
    rows: Sequence[Sample],
    batch_size: int,
    device: torch.device,
) -> torch.Tensor:
    """Unit vectors of the image encoder's features, [rows, c], in the order of the rows."""
    samples = corpus.samples(rows, ["image"], ())
    loader = make_loader(samples, EvaluationSampler(samples, batch_size), None)
    encoder: Any = model.encoder["image"]
    with torch.inference_mode():
        parts = [encoder.summary(batch.to(device).inputs["image"]).cpu() for batch in loader]
    return F.normalize(torch.cat(parts).float(), dim=1)
