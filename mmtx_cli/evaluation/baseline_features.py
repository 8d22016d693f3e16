"""Features of training and evaluated samples, from which baselines learn."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.config.schema import DataSettings
from mmtx_cli.data.corpus import Corpus
from mmtx_cli.data.loader import EvaluationSampler, make_loader
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.io.console import track
from mmtx_cli.model.build import build_encoders

MAX_TRAIN_ROWS = 4000
"""Of more training rows, this many are drawn: it bounds what baselines cost."""

TRAINED, UNTRAINED = "", ", untrained encoders"
"""Whose features a baseline learns from, as the end of its name."""

Summaries = dict[str, dict[str, Tensor]]
"""By modality and sample id: one vector; a sample that lacks the modality has none."""


@dataclass(frozen=True)
class Features:
    """One vector a modality of n training rows and m evaluated samples."""

    train: list[Sample]
    train_parts: list[Tensor]
    test_parts: list[Tensor]

    def plain(self) -> tuple[Tensor, Tensor]:
        """The modalities' vectors one after the other, [n, c] and [m, c]: for linear models."""
        return torch.cat(self.train_parts, dim=1), torch.cat(self.test_parts, dim=1)

    def unit(self) -> tuple[Tensor, Tensor]:
        """The same with a unit vector a modality: a cosine is the mean of the modalities'."""
        return tuple(  # type: ignore[return-value]
            torch.cat([F.normalize(part, dim=1) for part in parts], dim=1)
            for parts in (self.train_parts, self.test_parts)
        )


def features_of(
    train: Mapping[str, Mapping[str, Tensor]],
    test: Mapping[str, Mapping[str, Tensor]],
    modalities: Sequence[str],
    train_rows: Sequence[Sample],
    test_rows: Sequence[Sample],
) -> Features | None:
    """Return the features of the rows; None where no training row has any of the modalities.

    Training rows that have none of the modalities are left out. Elsewhere the mean of the training
    rows stands for a modality that a sample lacks.
    """
    there = [name for name in modalities if any(row.id in train[name] for row in train_rows)]
    rows = [row for row in train_rows if any(row.id in train[name] for name in there)]
    if not rows:
        return None
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for name in there:
        known = [train[name][row.id] for row in rows if row.id in train[name]]
        mean = torch.stack(known).mean(dim=0)
        for part, own, found in ((parts[0], rows, train[name]), (parts[1], test_rows, test[name])):
            part.append(torch.stack([found.get(row.id, mean) for row in own]))
    return Features(rows, *parts)


def drawn(rows: Sequence[Sample], seed: int) -> list[Sample]:
    """At most ``MAX_TRAIN_ROWS`` of the rows, in their order."""
    if len(rows) <= MAX_TRAIN_ROWS:
        return list(rows)
    chosen = random.Random(seed).sample(range(len(rows)), MAX_TRAIN_ROWS)
    return [rows[i] for i in sorted(chosen)]


def encoder_sets(
    encoders: Mapping[str, Any], nodes: Mapping[str, Any], device: torch.device
) -> dict[str, Mapping[str, Any]]:
    """The trained encoders and, where none of them may have had pretrained weights, the same
    encoders as they begin.

    Args:
        encoders: The trained encoders by modality.
        nodes: Their configuration.
        device: Where they run.
    """
    sets: dict[str, Mapping[str, Any]] = {TRAINED: encoders}
    if any(encoder.portable() for encoder in encoders.values()):
        # one that can come pretrained: whether it did is not kept with a trained model
        return sets
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = build_encoders({name: nodes[name] for name in encoders})
    for name, encoder in fresh.items():
        if encoder.reads_features:  # the scale of the features is not learned
            encoder.load_state_dict(dict(encoders[name].named_buffers()), strict=False)
        encoder.eval().to(device)
    return sets | {UNTRAINED: fresh}


def summaries(
    sets: Mapping[str, Mapping[str, Any]],
    corpus: Corpus,
    rows: Sequence[Sample],
    data: DataSettings,
    device: torch.device,
) -> dict[str, Summaries]:
    """One vector a modality and row by each set of encoders; files are decoded once for all.

    Args:
        sets: Encoders by modality, of the same modalities in each set.
        corpus: The data set that the rows are of.
        rows: The samples.
        data: Batch size and workers.
        device: Where the encoders are.
    """
    modalities = list(sets[TRAINED])
    samples = corpus.samples(rows, modalities, ())
    sampler = EvaluationSampler(samples, data.eval_batch_size or data.batch_size)
    loader = make_loader(samples, sampler, data.num_workers)
    found: dict[str, Summaries] = {key: {name: {} for name in modalities} for key in sets}
    with torch.inference_mode():
        for batch in track(loader, "baselines"):
            for name, field in batch.to(device).inputs.items():
                present = field.mask.any(dim=1).tolist()
                if not any(present):
                    continue
                for key, encoders in sets.items():
                    vectors = encoders[name].summary(field).float().cpu()
                    for ident, vector, here in zip(batch.ids, vectors, present, strict=True):
                        if here:
                            found[key][name][ident] = vector.clone()
    return found
