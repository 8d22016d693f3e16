"""Baselines that a trained model should outperform, scored on the same samples.

Baselines that use only the targets of the training rows, and chance level for retrieval, are cheap
and always scored; ``baselines=true`` adds those that use the encoders' features.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from mmtx_cli.data.corpus import Corpus, rows_with_targets
from mmtx_cli.data.manifest.labels import label_fault
from mmtx_cli.data.manifest.sample import Sample
from mmtx_cli.data.manifest.table.facts import taken
from mmtx_cli.data.targets import Targets
from mmtx_cli.errors import DataError
from mmtx_cli.evaluation.baseline_features import (
    MAX_TRAIN_ROWS,
    encoder_sets,
    features_of,
    subsample,
    summaries,
)
from mmtx_cli.evaluation.baseline_tasks import Answers, Captions, Classes, LabelSets, Numbers, Task
from mmtx_cli.metric.direction import headline
from mmtx_cli.metric.scores import Scores
from mmtx_cli.model.multimodal import MultimodalModel
from mmtx_cli.runs.run_config import EvalConfig
from mmtx_cli.types import FUSED

Baselines = dict[str, dict[str, Scores]]
"""Scores by head and baseline name, on the samples that the head is scored on."""


def baselines(
    model: MultimodalModel,
    corpus: Corpus,
    scored: Mapping[str, Any],
    outputs: Mapping[str, Any],
    run: EvalConfig,
    device: torch.device,
) -> Baselines:
    """Return the baselines of each head; with ``baselines`` also those fitted on features.

    Args:
        model: The evaluated model.
        corpus: The data set, which reads files rather than a cache.
        scored: Samples, rows of ``predictions.jsonl`` and scores by head.
        outputs: The outputs for each head's samples.
        run: The settings.
        device: The model's device.
    """
    found = constant_baselines(model, corpus, scored, outputs)
    if run.baselines:
        for head, by_name in learned_baselines(model, corpus, scored, run, device).items():
            found[head] = found.get(head, {}) | by_name
    return found


def constant_baselines(
    model: MultimodalModel, corpus: Corpus, scored: Mapping[str, Any], outputs: Mapping[str, Any]
) -> Baselines:
    """Return the baselines that use no features; the arguments are those of ``baselines``."""
    found: Baselines = {}
    tasks = tasks_of(model, corpus, scored)
    for name, (test, _, _) in scored.items():
        head = model.head[name]
        if task := tasks.get(name):
            train = train_rows(name, head, corpus)
            if not train:
                print(
                    f"no baselines for head.{name}: {no_targets_message(corpus)}", file=sys.stderr
                )
                continue
            predictions = task.constant(train, test)
            found[name] = {
                key: task.score(prediction, test) for key, prediction in predictions.items()
            }
        elif name in outputs and (chance := head.chance(outputs[name], test)):
            found[name] = {"chance": chance}
    return found


def learned_baselines(
    model: MultimodalModel,
    corpus: Corpus,
    scored: Mapping[str, Any],
    run: EvalConfig,
    device: torch.device,
) -> Baselines:
    """Return the baselines fitted on the encoders' features of training rows.

    The arguments are those of ``baselines``.

    Raises:
        DataError: If there are no training rows.
    """
    tasks = tasks_of(model, corpus, scored)
    all_rows = {name: train_rows(name, model.head[name], corpus) for name in tasks}
    if tasks and not any(all_rows.values()):
        raise DataError(
            f"baselines=true: {no_targets_message(corpus)}; add training rows, or remove it"
        )
    train = {name: subsample(rows, run.seed) for name, rows in all_rows.items() if rows}
    if not train:  # retrieval only has chance level
        return {}
    sets = encoder_sets(model.encoder, run.encoder, device)
    tests = {name: scored[name][0] for name in train}
    train_vectors = summaries(sets, corpus, distinct(train), run.data, device)
    test_vectors = summaries(sets, corpus, distinct(tests), run.data, device)
    found: Baselines = {}
    for name, rows in train.items():
        kept = [m for m in modalities_of(model.head[name], model) if m not in run.drop_modalities]
        for suffix in sets:
            features = features_of(
                train_vectors[suffix], test_vectors[suffix], kept, rows, tests[name]
            )
            if features is not None:
                if not suffix:
                    print_row_counts(name, len(features.train), len(all_rows[name]))
                predictions = tasks[name].learned(features)
                found.setdefault(name, {}).update(
                    {k + suffix: tasks[name].score(x, tests[name]) for k, x in predictions.items()}
                )
    return found


def no_targets_message(corpus: Corpus) -> str:
    """Return the reason why there are no baselines."""
    return f"{corpus.manifest.path} has no row with split=train and targets for the head"


def print_row_counts(head: str, used: int, total: int) -> None:
    """Print how many training rows the baselines use, if not all of them."""
    if used < total:
        print(
            f"baselines of head.{head} are fitted on {used:,} of {total:,} training rows "
            f"(readable ones, at most {MAX_TRAIN_ROWS:,})",
            file=sys.stderr,
        )


def distinct(rows: Mapping[str, Sequence[Sample]]) -> list[Sample]:
    """Return the samples of all heads without duplicates."""
    return list({row.id: row for samples in rows.values() for row in samples}.values())


def tasks_of(model: MultimodalModel, corpus: Corpus, scored: Mapping[str, Any]) -> dict[str, Task]:
    """Return the kind of target of each head that has a headline metric to compare."""
    return {
        name: task
        for name, (_, _, scores) in scored.items()
        if headline(scores.metrics()) and (task := task_of(model.head[name], corpus))
    }


def task_of(head: Any, corpus: Corpus) -> Task | None:
    """Return the kind of target of a head, or None if there are no baselines for it."""
    names = getattr(head, "label_names", corpus.label_names)
    match head.targets:
        case ("label",):
            targets = Targets(names, corpus.multi_label)
            return (
                LabelSets(targets) if corpus.multi_label else Classes(targets, head.traits.ordinal)
            )
        case ("number",):
            return Numbers()
        case ("answers",) | ("answer_text",):
            return Answers()
        case ("captions",):
            return Captions()
    return None


def train_rows(name: str, head: Any, corpus: Corpus) -> Sequence[Sample]:
    """Return the training rows of a head, except those with labels it does not know."""
    limited = corpus.limited("train")
    has = corpus.trained_rows(name, limited) & rows_with_targets(limited, head.targets)
    rows = taken(limited, has)
    if "label" in head.targets:
        known = dict.fromkeys(getattr(head, "label_names", corpus.label_names))
        rows = [row for row in rows if not label_fault(row.label, known, corpus.multi_label, True)]
    return rows


def modalities_of(head: Any, model: MultimodalModel) -> list[str]:
    """Return the modalities that a head reads, directly or fused."""
    return [name for name in model.encoder if FUSED in head.streams or name in head.streams]
