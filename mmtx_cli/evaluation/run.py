"""Evaluation of a trained model on a split: distributed prediction, scores and baselines."""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from omegaconf import DictConfig

from mmtx_cli.config.cross_checks import is_trained
from mmtx_cli.config.groups import offered
from mmtx_cli.config.schema import DataSettings
from mmtx_cli.errors import ConfigError, DataError
from mmtx_cli.evaluation.result_file import add_figures, write_result
from mmtx_cli.runs.feature_cache import check_cache, open_cache
from mmtx_cli.runs.inherit import has_new_head, is_change
from mmtx_cli.runs.resolve import portable_nodes, preparation_of, sections
from mmtx_cli.runs.run_dir import open_run


def check_heads_eval_only(cfg: DictConfig) -> None:
    """Raise ConfigError if a head is added that must be trained; evaluation-only heads may be."""
    if has_new_head(cfg):
        nodes = cfg.head.items()
        raise ConfigError(
            *(
                f"head={name}: must be trained and is loaded from ckpt=; remove it, or use one of "
                f"{', '.join(offered('head', 'eval'))}"
                for name, node in nodes
                if node is not None and not is_change(node) and is_trained(node)
            )
        )


def evaluate(cfg: DictConfig, stored: Mapping[str, Any]) -> None:
    """Predict in every process; merge, score and report in the first.

    Args:
        cfg: The configuration.
        stored: The settings stored with the trained model.
    """
    from mmtx_cli.data.corpus import build_data
    from mmtx_cli.distributed.launch import launch
    from mmtx_cli.evaluation.eval_only_heads import ask, asks, teach
    from mmtx_cli.evaluation.modality_importance import diagnosis, diagnosis_views, shuffled_answers
    from mmtx_cli.inference.caption_diversity import evaluated_diversity
    from mmtx_cli.inference.modality_views import (
        all_answers,
        by_head,
        subset_name,
        subset_views,
        subsets_of,
    )
    from mmtx_cli.inference.predict import load_model
    from mmtx_cli.runs.inherit import without_labels

    begun = time.perf_counter()
    settings = sections(cfg)
    data = settings["data"]
    asked = asks(cfg)
    stored = without_labels(stored) if asked else stored
    own = {name: node for name, node in cfg.head.items() if is_trained(node)}
    preparation = preparation_of(cfg, data)
    corpus = build_data(data, preparation, cfg.seed, stored, cfg.encoder.get("text"), own)
    corpus.cache = open_cache(cfg)
    rows = corpus.rows(cfg.split)
    if not rows:
        raise DataError(f"{corpus.manifest.path}: no row has split={cfg.split}")
    process = launch(settings["trainer"])
    model = load_model(cfg, process.device)
    examples = ask(model, corpus, rows, cfg) if asked else {}
    check_cache(model, portable_nodes(cfg, model.encoder), model.state_dict(), corpus, cfg)
    samples = corpus.samples(rows, list(model.encoder), ())
    for said in samples.cut_texts() if process.is_first else ():
        print(f"{said}, as when the model was trained", file=sys.stderr)
    run_dir = open_run(cfg)
    kept = [name for name in model.encoder if name not in cfg.drop_modalities]
    subsets = subsets_of(kept) if cfg.modality_subsets == "all" else [kept]
    views = subset_views(subsets) | (diagnosis_views(kept) if cfg.modality_importance else {})
    teach(model, corpus, examples, settings, process, run_dir)
    answers = all_answers(model, samples, views, settings, process, run_dir)
    shuffled = (
        shuffled_answers(model, corpus, rows, kept, cfg.seed, settings, process, run_dir)
        if cfg.modality_importance
        else {}
    )
    if answers is None:
        return
    read = [row for row in rows if row.id not in answers.unread]
    whole, partial = scored(model, corpus, read, answers, subsets, cfg)
    outputs = by_head(answers, whole, subset_name(subsets[0]))
    todo = model, corpus, read, whole, outputs, data, process.device, cfg
    extra = {"subsets": partial, **extras(*todo)}
    extra["diversity"] = evaluated_diversity(
        whole, corpus.manifest.split("train"), not cfg.drop_modalities
    )
    if cfg.modality_importance:
        parts = model, corpus, whole, answers, shuffled, data, process.device, cfg
        extra["contribution"] = diagnosis(*parts)
    write_result(cfg, run_dir, whole, extra, time.perf_counter() - begun)


def extras(
    model: Any,
    corpus: Any,
    read: Sequence[Any],
    whole: Mapping[str, Any],
    outputs: Mapping[str, Any],
    data: DataSettings,
    device: Any,
    cfg: DictConfig,
) -> dict[str, Any]:
    """Return the baselines and the cost of the model, on the unmodified samples.

    The cost is the number of parameters, with ``cost`` also the FLOPs per sample.

    Args:
        model: The evaluated model.
        corpus: The data set.
        read: The samples that could be read.
        whole: Samples, rows and scores by head.
        outputs: The outputs for each head's samples.
        data: Batch size and workers.
        device: The model's device.
        cfg: The configuration.
    """
    from mmtx_cli.evaluation.baseline_result import baseline_parts
    from mmtx_cli.evaluation.baselines import baselines
    from mmtx_cli.runs.profile import flops_per_sample, parameter_counts

    corpus = replace(corpus, cache=None)  # these read the files themselves
    cost: dict[str, float] = {**parameter_counts(model)}
    if cfg.profile:
        cost["flops_per_sample"] = flops_per_sample(model, corpus, read, device)
    floors = baselines(model, corpus, whole, outputs, cfg, data, device)
    parts = baseline_parts(floors, whole, cfg.bootstrap, cfg.seed)
    return {"baselines": parts, "cost": cost}


def scored(
    model: Any,
    corpus: Any,
    read: Sequence[Any],
    answers: Any,
    subsets: Sequence[Sequence[str]],
    cfg: DictConfig,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (samples, rows, scores) of each head on the first subset, and the metrics by subset.

    Args:
        model: The evaluated model.
        corpus: The data set.
        read: The samples that could be read.
        answers: The outputs of all processes.
        subsets: Subsets of the modalities, the complete one first.
        cfg: The configuration.
    """
    from mmtx_cli.data.corpus import usable
    from mmtx_cli.inference.modality_views import score, subset_name

    whole: dict[str, Any] = {}
    partial: dict[str, Any] = {}
    for name, head in model.head.items():
        meant = [row for row in read if corpus.learns(name, row)]
        samples = usable(meant, head.needs, corpus.manifest)
        texts = corpus.texts(samples) if head.scores_every_text else ()
        for few in subsets if len(subsets) > 1 and not head.scores_every_text else subsets[:1]:
            view = subset_name(few)
            rows, scores = score(head, answers.of(name, view), samples, corpus.tokenizer, texts)
            whole.setdefault(name, (samples, rows, scores))
            if len(subsets) > 1:
                figures = partial.setdefault(view, {"metrics": {}, "intervals": {}})
                add_figures(figures, name, scores, cfg)
    return whole, partial
