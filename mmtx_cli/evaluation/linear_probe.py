"""Linear probes of each modality's own encoding, before any fusion."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mmtx_cli.config.data_settings import DataSettings
from mmtx_cli.data.corpus import Corpus, usable
from mmtx_cli.data.loader import EvaluationSampler, make_loader
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.io.console import track
from mmtx_cli.layer.pooling import masked_mean
from mmtx_cli.metric.classification import classification_scores
from mmtx_cli.metric.linear_probe import linear_classifier, linear_regression
from mmtx_cli.metric.regression import regression_scores
from mmtx_cli.model.multimodal import MultimodalModel

Summaries = dict[str, dict[str, Tensor]]
"""Mean token [d] by modality and sample id; samples that lack the modality have none."""


def probe_figures(
    model: MultimodalModel,
    corpus: Corpus,
    scored: Mapping[str, Any],
    kept: Sequence[str],
    data: DataSettings,
    device: torch.device,
) -> dict[str, dict[str, dict[str, float]]]:
    """Return the metrics of probes fitted on the training samples, by head and modality.

    Only heads that predict a single class or a number are probed. A sample that lacks the modality
    gets the mean of the training samples.

    Args:
        model: The trained model.
        corpus: The data set.
        scored: (samples, rows, scores) of each head.
        kept: The modalities to probe.
        data: Batch size and workers.
        device: The model's device.
    """
    heads = [name for name in scored if can_be_probed(model.head[name], corpus)]
    if not heads:
        return {}
    evaluated = list({row.id: row for name in heads for row in scored[name][0]}.values())
    train_means = summaries(model, corpus, corpus.rows("train"), data, device)
    test_means = summaries(model, corpus, evaluated, data, device)
    found: dict[str, dict[str, dict[str, float]]] = {name: {} for name in heads}
    for name in heads:
        rows = usable(corpus.rows("train"), model.head[name].targets, corpus.manifest)
        for modality in kept:
            train = [row for row in rows if row.id in train_means[modality]]
            if not train:
                continue
            x = torch.stack([train_means[modality][row.id] for row in train])
            mean, test = x.mean(dim=0), scored[name][0]
            x_test = torch.stack([test_means[modality].get(row.id, mean) for row in test])
            found[name][modality] = probe_metrics(x, train, x_test, test, corpus)
    return found


def can_be_probed(head: Any, corpus: Corpus) -> bool:
    """Return whether the head predicts a single class or a number."""
    return head.targets == ("number",) or (head.targets == ("label",) and not corpus.multi_label)


def probe_metrics(
    x: Tensor, train: Sequence[Sample], x_test: Tensor, test: Sequence[Sample], corpus: Corpus
) -> dict[str, float]:
    """Return the metrics of a probe: regression if labels are numbers, else classification.

    Args:
        x: Features of the training samples.
        train: The training samples.
        x_test: Features of the evaluated samples.
        test: The evaluated samples.
        corpus: The data set.
    """
    if isinstance(train[0].label, (int, float)):
        y, truth = (torch.tensor([float(row.label) for row in rows]) for rows in (train, test))  # type: ignore[arg-type]
        return regression_scores(linear_regression(x, y, x_test).numpy(), truth.numpy()).metrics()
    class_index = {name: i for i, name in enumerate(corpus.label_names)}
    y, truth = (
        torch.tensor([class_index[str(row.label)] for row in rows]) for rows in (train, test)
    )
    probabilities = linear_classifier(x, y, len(class_index), x_test)
    return classification_scores(probabilities.numpy(), truth.numpy()).metrics()


def summaries(
    model: MultimodalModel,
    corpus: Corpus,
    rows: Sequence[Sample],
    data: DataSettings,
    device: torch.device,
) -> Summaries:
    """Return the mean of each sample's encoded and projected tokens, by modality.

    Args:
        model: The trained model.
        corpus: The data set of the rows.
        rows: The samples.
        data: Batch size and workers.
        device: The model's device.
    """
    samples = corpus.samples(rows, list(model.encoder), ())
    sampler = EvaluationSampler(samples, data.eval_batch_size or data.batch_size)
    loader = make_loader(samples, sampler, data.num_workers)
    found: Summaries = {name: {} for name in model.encoder}
    with torch.inference_mode():
        for batch in track(loader, "linear probe"):
            for name, tokens in model.encode(batch.to(device)).items():
                means = masked_mean(tokens.x, tokens.mask).cpu()
                presence = tokens.present.tolist()
                for ident, mean, present in zip(batch.ids, means, presence, strict=True):
                    if present:
                        found[name][ident] = mean.clone()
    return found
