"""Features of training and evaluated samples, on which baselines are fitted."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.data.corpus import Corpus
from mmtx_cli.data.loader import EvaluationSampler, make_loader
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.io.console import track
from mmtx_cli.model.build import build_encoders

MAX_TRAIN_ROWS = 4000
"""Larger training sets are subsampled to this many rows to bound the cost of baselines."""

TRAINED, UNTRAINED = "", ", untrained encoders"
"""Suffix of a baseline's name for the encoders whose features it uses."""

Summaries = dict[str, dict[str, Tensor]]
"""Vectors by modality and sample id; samples that lack the modality have none."""


@dataclass(frozen=True)
class Features:
    """One vector per modality for n training rows and m evaluated samples."""

    train: list[Sample]
    train_parts: list[Tensor]
    test_parts: list[Tensor]

    def plain(self) -> tuple[Tensor, Tensor]:
        """Return the concatenated vectors of the modalities, [n, c] and [m, c].

        Linear models use these.
        """
        return torch.cat(self.train_parts, dim=1), torch.cat(self.test_parts, dim=1)

    def unit(self) -> tuple[Tensor, Tensor]:
        """Return the same with L2-normalized vectors: cosines are means over the modalities."""
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
    """Return the features of the rows; None if no training row has any of the modalities.

    Training rows without any of the modalities are left out. Otherwise a missing modality is
    replaced by the mean of the training rows.

    Args:
        train: Vectors of the training rows by modality and sample id.
        test: Vectors of the evaluated samples by modality and sample id.
        modalities: The modalities to use.
        train_rows: The training rows.
        test_rows: The evaluated samples.
    """
    available = [name for name in modalities if any(row.id in train[name] for row in train_rows)]
    rows = [row for row in train_rows if any(row.id in train[name] for name in available)]
    if not rows:
        return None
    parts: tuple[list[Tensor], list[Tensor]] = ([], [])
    for name in available:
        train_vectors = [train[name][row.id] for row in rows if row.id in train[name]]
        mean = torch.stack(train_vectors).mean(dim=0)
        for part, samples, vectors in (
            (parts[0], rows, train[name]),
            (parts[1], test_rows, test[name]),
        ):
            part.append(torch.stack([vectors.get(row.id, mean) for row in samples]))
    return Features(rows, *parts)


def subsample(rows: Sequence[Sample], seed: int) -> list[Sample]:
    """Return the rows in order, randomly subsampled to at most ``MAX_TRAIN_ROWS``."""
    if len(rows) <= MAX_TRAIN_ROWS:
        return list(rows)
    chosen = random.Random(seed).sample(range(len(rows)), MAX_TRAIN_ROWS)
    return [rows[i] for i in sorted(chosen)]


def encoder_sets(
    encoders: Mapping[str, Any], nodes: Mapping[str, Any], device: torch.device
) -> dict[str, Mapping[str, Any]]:
    """Return the trained encoders and, if none of them can have pretrained weights, the same
    encoders randomly initialized.

    Args:
        encoders: The trained encoders by modality.
        nodes: Their configuration.
        device: Device of the encoders.
    """
    sets: dict[str, Mapping[str, Any]] = {TRAINED: encoders}
    if any(encoder.rebuild_kwargs() for encoder in encoders.values()):
        # a trained model does not record whether its encoders started from pretrained weights
        return sets
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        fresh = build_encoders({name: nodes[name] for name in encoders})
    for name, encoder in fresh.items():
        if encoder.reads_features:  # the feature statistics are not learned
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
    """Return one vector per modality and row for each set of encoders; files are decoded only once.

    Args:
        sets: Encoders by modality, with the same modalities in each set.
        corpus: The data set of the rows.
        rows: The samples.
        data: Batch size and workers.
        device: Device of the encoders.
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
                    vectors = encoders[name].pooled_features(field).float().cpu()
                    for ident, vector, is_present in zip(batch.ids, vectors, present, strict=True):
                        if is_present:
                            found[key][name][ident] = vector.clone()
    return found
