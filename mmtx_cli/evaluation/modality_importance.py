"""Importance of each modality for the predictions of a trained model.

A modality is *shuffled* across samples, which keeps its distribution but removes its information
(permutation importance, Breiman 2001, section 10), *zeroed* (present, with an all-zero encoding),
*absent* (removed, so that the fusion masks it), or left *alone* (the only one).
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mmtx_cli.data.quarantine import Quarantine
from mmtx_cli.distributed.process import Process
from mmtx_cli.evaluation.linear_probe import probe_figures
from mmtx_cli.head.base import Head
from mmtx_cli.inference.modality_views import Answers, all_answers, score, subset_name, subset_views
from mmtx_cli.inference.predict import View
from mmtx_cli.model.multimodal import MultimodalModel, keep_only, zeroed
from mmtx_cli.runs.run_config import EvalConfig
from mmtx_cli.types import Streams

SHUFFLED, ZEROED, ABSENT, ALONE = "shuffled", "zeroed", "absent", "alone"


def diagnosis_views(kept: Sequence[str]) -> dict[str, View]:
    """Return views in which each of the kept modalities is zeroed, absent or alone."""
    subsets = [*([other for other in kept if other != name] for name in kept), *([n] for n in kept)]
    return subset_views([subset for subset in subsets if subset]) | {
        f"{ZEROED} {name}": without_content(kept, name) for name in kept
    }


def without_content(kept: Sequence[str], name: str) -> View:
    """Return a view of the kept modalities with one of them zeroed."""

    def view(encoded: Streams) -> Streams:
        return zeroed(keep_only(encoded, kept), name)

    return view


def shuffled_answers(
    model: MultimodalModel,
    corpus: Any,
    rows: Sequence[Any],
    kept: Sequence[str],
    run: EvalConfig,
    process: Process,
) -> dict[str, Answers | None]:
    """Return the model's outputs with each modality shuffled across the readable samples.

    Args:
        model: The trained model.
        corpus: The data set.
        rows: The evaluated samples; those in the quarantine are skipped.
        kept: The modalities that are not dropped.
        run: The settings; ``seed`` is that of the permutations.
        process: This process.
    """
    unread = {ident for ident, _ in Quarantine(run.run_dir / "quarantine.jsonl", 1, 1).recorded()}
    readable = [row for row in rows if row.id not in unread]
    found = {}
    for i, name in enumerate(kept):
        samples = corpus.samples(readable, list(model.encoder), ())
        samples.shuffle(name, run.seed + i)
        views = subset_views([kept])
        shares = f"shuffled-{name}"
        found[name] = all_answers(model, samples, views, run, process, shares)
    return found


def diagnosis(
    model: MultimodalModel,
    corpus: Any,
    scored: Mapping[str, Any],
    answers: Answers,
    shuffled: Mapping[str, Answers | None],
    device: Any,
    run: EvalConfig,
) -> dict[str, Any]:
    """Return the metrics and their changes by head, modality and kind of corruption.

    ``probe`` holds the metrics of a linear probe on the modality's encoding.

    Args:
        model: The trained model.
        corpus: The data set.
        scored: (samples, rows, scores) of each head on the unmodified samples.
        answers: Outputs on the views.
        shuffled: Outputs with each modality shuffled.
        device: The model's device.
        run: The settings.
    """
    found = contributions(
        model, scored, answers, shuffled, corpus.tokenizer, run.bootstrap, run.seed
    )
    probes = probe_figures(model, corpus, scored, list(shuffled), run.data, device)
    for head, by_modality in probes.items():
        for modality, figures in by_modality.items():
            if modality in found[head]:
                found[head][modality]["probe"] = {"metrics": figures}
    return found


def contributions(
    model: MultimodalModel,
    scored: Mapping[str, Any],
    answers: Answers,
    shuffled: Mapping[str, Answers | None],
    tokenizer: Any,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    """Return the metrics of each head on every corrupted view, and the changes they cause.

    Modalities that are part of a head's target, such as masked patches, are skipped.

    Args:
        model: The trained model.
        scored: (samples, rows, scores) of each head on the unmodified samples.
        answers: Outputs on the views.
        shuffled: Outputs with each modality shuffled.
        tokenizer: Decodes token ids.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.
    """
    kept = list(shuffled)
    found: dict[str, Any] = {}
    for name, (samples, _, whole) in scored.items():
        head = model.head[name]
        if head.traits.scores_every_text:  # its metrics depend on the whole gallery
            continue
        found[name] = {}
        for modality in removable_modalities(head, kept):
            others = subset_name([other for other in kept if other != modality])
            outputs = {
                SHUFFLED: shuffled[modality].of(name, subset_name(kept)),  # type: ignore[union-attr]
                ZEROED: answers.of(name, f"{ZEROED} {modality}"),
                **({ABSENT: answers.of(name, others)} if others else {}),
                ALONE: answers.of(name, modality),
            }
            found[name][modality] = {
                kind: change(
                    score(head, view_outputs, samples, tokenizer)[1], whole, resamples, seed
                )
                for kind, view_outputs in outputs.items()
            }
    return found


def removable_modalities(head: Head, kept: Sequence[str]) -> list[str]:
    """Return the modalities that can be removed for a head: those its targets are not made from."""
    return [name for name in kept if name not in head.raw_modalities]


def change(scores: Any, whole: Any, resamples: int, seed: int) -> dict[str, Any]:
    """Return metrics and their difference from the baseline, with paired bootstrap intervals.

    Args:
        scores: Scores on the corrupted samples.
        whole: Scores on the unmodified samples.
        resamples: Number of bootstrap resamples.
        seed: Seed of the resampling.
    """
    difference = scores.minus(whole)
    return {
        "metrics": scores.metrics(),
        "change": difference.metrics(),
        "intervals": difference.intervals(resamples=resamples, seed=seed),
    }
