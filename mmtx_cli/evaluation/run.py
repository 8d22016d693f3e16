"""Evaluation of a trained model on a split: distributed prediction, scores and baselines."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mmtx_cli.config.cross_checks import is_trained
from mmtx_cli.errors import DataError
from mmtx_cli.evaluation.result_file import add_figures, write_result
from mmtx_cli.runs.cached_features.feature_cache import check_cache, open_cache
from mmtx_cli.runs.inherit import without_labels
from mmtx_cli.runs.model_config import portable_nodes
from mmtx_cli.runs.run_config import EvalConfig
from mmtx_cli.runs.run_dir import open_run

if TYPE_CHECKING:
    from mmtx_cli.data.corpus import Corpus
    from mmtx_cli.data.manifest.sample import Sample
    from mmtx_cli.distributed.process import Process
    from mmtx_cli.inference.modality_views import Answers
    from mmtx_cli.model.multimodal import MultimodalModel


@dataclass(frozen=True)
class Evaluated:
    """A model and the samples that it is evaluated on."""

    run: EvalConfig
    model: "MultimodalModel"
    corpus: "Corpus"
    rows: "list[Sample]"
    process: "Process"

    @property
    def kept(self) -> list[str]:
        """The modalities that are not dropped."""
        return [name for name in self.model.encoder if name not in self.run.drop_modalities]

    @property
    def subsets(self) -> list[list[str]]:
        """Subsets of the kept modalities, the complete one first."""
        from mmtx_cli.inference.modality_views import subsets_of

        return subsets_of(self.kept) if self.run.modality_subsets == "all" else [self.kept]


def evaluate(run: EvalConfig) -> None:
    """Predict in every process; merge, score and report in the first."""
    start = time.perf_counter()
    evaluate_rows(run, *read_rows(run), start)


def evaluate_rows(
    run: EvalConfig, corpus: "Corpus", rows: "list[Sample]", start: float
) -> "tuple[MultimodalModel, Answers | None]":
    """Evaluate a model on some samples; return it and its outputs, which the first process has.

    Args:
        run: The settings.
        corpus: The data set.
        rows: The samples.
        start: Time at which the evaluation began.
    """
    # these import torch: only with valid settings
    from mmtx_cli.distributed.launch import launch
    from mmtx_cli.evaluation.eval_only_heads import (
        fit_heads,
        has_eval_only_heads,
        replace_heads,
        with_classes,
    )
    from mmtx_cli.inference.predict import load_model

    process = launch(run.trainer)
    model = load_model(run, process.device)
    examples = {}
    if has_eval_only_heads(run):
        run = with_classes(run, corpus)
        examples = replace_heads(model, corpus, rows, run)
    nodes = portable_nodes(run.encoder, model.encoder)
    check_cache(model, nodes, model.state_dict(), corpus, run.plain)
    evaluated = Evaluated(run, model, corpus, rows, process)
    samples = corpus.samples(rows, list(model.encoder), ())
    for message in samples.text_truncation_warnings() if process.is_first else ():
        print(f"{message}, as when the model was trained", file=sys.stderr)
    open_run(run.plain)
    fit_heads(model, corpus, examples, run, process)
    answers, shuffled = predict_views(evaluated, samples)
    if answers is not None:
        whole, extra = scores_of(evaluated, answers, shuffled)
        write_result(run, whole, extra, time.perf_counter() - start)
    return model, answers


def read_rows(run: EvalConfig) -> "tuple[Corpus, list[Sample]]":
    """Return the data set and its samples to evaluate on; raise DataError if there are none."""
    from mmtx_cli.data.corpus import build_data

    own = {name: node for name, node in run.head.items() if is_trained(node)}
    # labels only matter to the model's own heads
    stored = run.stored if own.keys() == run.head.keys() else without_labels(run.stored)
    text_encoder = run.encoder.get("text")
    corpus = build_data(run.data, run.preprocessing, run.seed, stored, text_encoder, own)
    corpus = replace(corpus, cache=open_cache(run.plain))
    rows = list(corpus.rows(run.split))
    if not rows:
        raise DataError(f"{corpus.manifest.path}: no row has split={run.split}")
    return corpus, rows


def predict_views(
    evaluated: Evaluated, samples: Any
) -> "tuple[Answers | None, dict[str, Answers | None]]":
    """Return the outputs on all views, and for ``modality_importance`` also those with each
    modality shuffled. Only the first process gets outputs.
    """
    from mmtx_cli.evaluation.modality_importance import diagnosis_views, shuffled_answers
    from mmtx_cli.inference.modality_views import all_answers, subset_views

    run, model, process, kept = evaluated.run, evaluated.model, evaluated.process, evaluated.kept
    views = subset_views(evaluated.subsets) | (
        diagnosis_views(kept) if run.modality_importance else {}
    )
    answers = all_answers(model, samples, views, run, process)
    if not run.modality_importance:
        return answers, {}
    rows = evaluated.rows
    return answers, shuffled_answers(model, evaluated.corpus, rows, kept, run, process)


def scores_of(
    evaluated: Evaluated, answers: "Answers", shuffled: "Mapping[str, Answers | None]"
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (samples, rows, scores) by head, and the further entries of ``result.json``."""
    from mmtx_cli.evaluation.modality_importance import diagnosis
    from mmtx_cli.inference.caption_diversity import evaluated_diversity
    from mmtx_cli.inference.modality_views import by_head, subset_name

    run, model, corpus = evaluated.run, evaluated.model, evaluated.corpus
    device, subsets = evaluated.process.device, evaluated.subsets
    read = [row for row in evaluated.rows if row.id not in answers.unread]
    whole, partial = score_heads(model, corpus, read, answers, subsets, run)
    outputs = by_head(answers, whole, subset_name(subsets[0]))
    extra = {"subsets": partial, **extras(model, corpus, read, whole, outputs, device, run)}
    extra["diversity"] = evaluated_diversity(
        whole, corpus.manifest.split("train"), not run.drop_modalities
    )
    if run.modality_importance:
        extra["contribution"] = diagnosis(model, corpus, whole, answers, shuffled, device, run)
    return whole, extra


def extras(
    model: Any,
    corpus: Any,
    readable: Sequence[Any],
    whole: Mapping[str, Any],
    outputs: Mapping[str, Any],
    device: Any,
    run: EvalConfig,
) -> dict[str, Any]:
    """Return the baselines and the cost of the model, on the unmodified samples.

    The cost is the number of parameters, with ``cost`` also the FLOPs per sample.

    Args:
        model: The evaluated model.
        corpus: The data set.
        readable: The samples that could be read.
        whole: Samples, rows and scores by head.
        outputs: The outputs for each head's samples.
        device: The model's device.
        run: The settings.
    """
    from mmtx_cli.evaluation.baseline_result import baseline_parts
    from mmtx_cli.evaluation.baselines import baselines
    from mmtx_cli.runs.profile import flops_per_sample, parameter_counts

    corpus = replace(corpus, cache=None)  # these read the files themselves
    cost: dict[str, float] = {**parameter_counts(model)}
    if run.profile:
        cost["flops_per_sample"] = flops_per_sample(model, corpus, readable, device)
    floors = baselines(model, corpus, whole, outputs, run, device)
    parts = baseline_parts(floors, whole, run.bootstrap, run.seed)
    return {"baselines": parts, "cost": cost}


def score_heads(
    model: Any,
    corpus: Any,
    readable: Sequence[Any],
    answers: Any,
    subsets: Sequence[Sequence[str]],
    run: EvalConfig,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (samples, rows, scores) of each head on the first subset, and the metrics by subset.

    Args:
        model: The evaluated model.
        corpus: The data set.
        readable: The samples that could be read.
        answers: The outputs of all processes.
        subsets: Subsets of the modalities, the complete one first.
        run: The settings.
    """
    from mmtx_cli.data.corpus import usable
    from mmtx_cli.inference.modality_views import score, subset_name

    whole: dict[str, Any] = {}
    partial: dict[str, Any] = {}
    for name, head in model.head.items():
        head_rows = [row for row in readable if corpus.trains_on(name, row)]
        samples = usable(head_rows, head.targets, corpus.manifest)
        texts = corpus.texts(samples) if head.traits.scores_every_text else ()
        for subset in (
            subsets if len(subsets) > 1 and not head.traits.scores_every_text else subsets[:1]
        ):
            view = subset_name(subset)
            rows, scores = score(head, answers.of(name, view), samples, corpus.tokenizer, texts)
            whole.setdefault(name, (samples, rows, scores))
            if len(subsets) > 1:
                figures = partial.setdefault(view, {"metrics": {}, "intervals": {}})
                add_figures(figures, name, scores, run)
    return whole, partial
